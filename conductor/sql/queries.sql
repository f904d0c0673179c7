-- Every statement the read side makes, by name. conductor/sql/__init__.py reads this file.

-- name: lock_migrations
-- Until the transaction ends: one migrates, the others wait and find it done.
select pg_advisory_xact_lock(hashtext('rig.migrations'));

-- name: create_schema
create schema if not exists rig;

-- name: create_migrations
create table if not exists rig.migrations (
    name text primary key,
    applied_at timestamptz not null default now()
);

-- name: has_vectors
select (select count(*) from pg_extension where extname = 'vector')
    + (select count(*) from pg_available_extensions where name = 'vector') as count;

-- name: migrations_there
select count(*) from pg_class where oid = to_regclass('rig.migrations');

-- name: sign_migrations
-- An earlier release noted no checksums.
alter table rig.migrations add column if not exists checksum text;

-- name: migrated
select name, to_jsonb(applied) ->> 'checksum' as checksum from rig.migrations as applied;

-- name: record_migration
insert into rig.migrations (name, checksum) values ($1, $2)
on conflict (name) do update set checksum = excluded.checksum;

-- name: position
select position, changes from rig.projection;

-- name: lock_position
select position, changes from rig.projection for update;

-- name: set_position
update rig.projection set position = $1;

-- name: tell_position
-- Heard by the query service once the transaction is committed.
select pg_notify('rig_position', $1::text);

-- name: events_between
select position, subject, body::text as body, raw from rig.events where position between $1 and $2;

-- name: take_room
-- Some megabytes, to see whether there are any.
create unlogged table rig.room as select md5(number::text) as filling from generate_series(1, 50000) as number;

-- name: give_room_back
drop table rig.room;

-- name: said_before
-- What was said under these ids before a position.
select position, subject, body::text as body from rig.events
where id = any($1::text[]) and repeats is null and position < $2;

-- name: said_behind
-- What was said under an id behind a position.
select position, subject, body::text as body from rig.events where id = $1 and repeats is null and position > $2;

-- name: drop_event
delete from rig.events where position = $1;

-- name: set_repeats
update rig.events set repeats = $1 where position = any($2::bigint[]) or repeats = any($2::bigint[]);

-- name: poisoned
select position, why, letter from rig.poison order by position;

-- name: add_poison
insert into rig.poison (position, why) values ($1, $2) on conflict (position) do nothing;

-- name: drop_poison
delete from rig.poison where position = $1;

-- name: set_letter
update rig.poison set letter = $2, why = $3 where position = $1;

-- name: empty
truncate rig.{table};

-- name: made_by
select name, rules, version from rig.models;

-- name: record_made_by
insert into rig.models (name, rules, version) values ($1, $2, $3)
on conflict (name) do update set rules = excluded.rules, version = excluded.version;

-- name: note_change
-- Who writes rows begins anew.
update rig.projection set changes = changes + 1;

-- name: put_letters
-- What was decided about a letter stands, whoever of several writes last.
insert into rig.dead_letters as known (key, row)
select key, row::jsonb from unnest($1::text[], $2::text[]) as new (key, row)
on conflict (key) do update set row = excluded.row where known.state = 'open';

-- name: clear_letters
delete from rig.dead_letters;

-- name: dead_position
select position from rig.dead;

-- name: set_dead_position
update rig.dead set position = $1;

-- name: load_rows
select key, row::text as row from rig.{table} where key = any($1::text[]);

-- name: all_rows
select key, row::text as row from rig.{table};

-- name: put_rows
insert into rig.{table} (key, row)
select key, row::jsonb from unnest($1::text[], $2::text[]) as new (key, row)
on conflict (key) do update set row = excluded.row;

-- name: drop_rows
delete from rig.{table} where key = any($1::text[]);

-- name: lock_rebuild
select pg_advisory_lock(hashtext('rig.rebuild'));

-- name: unlock_rebuild
select pg_advisory_unlock(hashtext('rig.rebuild'));

-- name: make_shadow
-- What a rebuild that was broken off has left goes. Not written ahead: nothing is lost with it.
drop table if exists rig.{table}_next;
create unlogged table rig.{table}_next (key text primary key, row jsonb not null);

-- name: take_shadow
-- Not truncated: who reads an older snapshot still finds its rows. What is right stays, and so do its indexes.
delete from rig.{table} as live
where not exists (select from rig.{table}_next as new where new.key = live.key and new.row = live.row);
insert into rig.{table} (key, row) select key, row from rig.{table}_next on conflict (key) do nothing;
drop table rig.{table}_next;

-- name: count_skipped
select count(*) from rig.events where skipped is not null;

-- name: count_poisoned
select count(*) from rig.poison;

-- name: first_poisoned
select position, why, letter from rig.poison order by position limit $1;

-- name: count_open_letters
select count(*) from rig.dead_letters where state = 'open';

-- name: list_letters
select row::text as row from rig.dead_letters
where id > $1
  and ($2::text is null or state = $2)
  and ($3::bigint is null or (row ->> 'position')::bigint = $3)
order by id
limit $4;

-- name: count_issues
select state, count(*) as issues from rig.issues group by state;

-- name: count_present
select count(*) from rig.agents where present;

-- name: present_repositories
select row::text as row from rig.repositories where not removed order by key limit $1;

-- name: list_issues
select row::text as row, opened from rig.issues
where opened > $1
  and ($2::text is null or repository = $2)
  and ($3::text is null or state = $3)
order by opened
limit $4;

-- name: one_issue
select row::text as row from rig.issues where key = $1;

-- name: newest_events_about
select position, stored_at, subject, body::text as body from rig.events
where about = $1 and repeats is null and skipped is null
order by position desc
limit $2;

-- name: count_events_about
select count(*) from rig.events where about = $1 and repeats is null and skipped is null;

-- name: list_agents
select row::text as row from rig.agents order by key;

-- name: busy
select agent, key as issue from rig.issues where agent is not null order by key;

-- name: spend_by
-- What was spent, by one of seven things, from a day to a day and of a repository (null: of all): the dearest first, days
-- the newest first.
select coalesce(name, '') as name, rig.counted(sum(input)) as input, rig.counted(sum(output)) as output,
       rig.counted(sum(cache_read)) as cache_read, rig.counted(sum(cache_write)) as cache_write,
       rig.counted(sum(cost)) as cost, rig.counted(sum(unpriced)) as unpriced
from (
    select case $1::text when 'role' then role when 'agent' then agent when 'repository' then repository
                         when 'issue' then issue when 'model' then model when 'purpose' then purpose
                         else day end as name,
           input, output, cache_read, cache_write, cost, unpriced
    from rig.spend
    where ($2::text is null or day >= $2) and ($3::text is null or day <= $3) and ($4::text is null or repository = $4)
) as chosen
group by name
order by case when $1 = 'day' then name end desc, sum(cost) desc, name
offset $5 limit $6;

-- name: spend_in_all
-- The same in one sum, and how much of it went into issues of which nothing was ever merged.
select rig.counted(sum(input)) as input, rig.counted(sum(output)) as output,
       rig.counted(sum(cache_read)) as cache_read, rig.counted(sum(cache_write)) as cache_write,
       rig.counted(sum(cost)) as cost, rig.counted(sum(unpriced)) as unpriced,
       rig.counted(sum(cost) filter (where rig.spend.issue is not null and merged.issue is null)) as unmerged
from rig.spend left join (select distinct issue from rig.merges) as merged using (issue)
where ($1::text is null or day >= $1) and ($2::text is null or day <= $2) and ($3::text is null or repository = $3);

-- name: merged_changes
-- Those merged from a day to a day, and all that was ever spent on their issues.
with merged as (
    select issue, reverted from rig.merges
    where ($1::text is null or day >= $1) and ($2::text is null or day <= $2) and ($3::text is null or repository = $3)
)
select count(*) as changes, count(*) filter (where reverted) as reverted,
       rig.counted((select sum(cost) from rig.spend where issue in (select issue from merged))) as cost
from merged;

-- name: search_settings
-- For this transaction: plans made for what is asked, since a filter may be narrow or none; and where a filter leaves
-- too little of what an index of vectors finds, the index is read on.
select set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('hnsw.iterative_scan', 'relaxed_order', true),
       set_config('hnsw.ef_search', '200', true);

-- name: count_findable
-- How many memories the filters leave, counted up to a number.
select count(*) from (select from rig.findable($1, $2, $3, $4, $5) limit $6) as found;

-- name: query_words
-- The rarest words of a query, any of which may match: all of them, and those that together stand in so many memories
-- at most, and in a tenth of all (at least the rarest). A word's share is what the server's own statistics say of it.
-- `together`: all of them in one memory.
with common as (
    select lexeme, share from pg_stats,
        unnest(most_common_elems::text::text[], most_common_elem_freqs) as one (lexeme, share)
    where schemaname = 'rig' and tablename = 'memories' and attname = 'search' and lexeme is not null
), words as (
    select '''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''' as word, coalesce(share, 0) as share
    from unnest(tsvector_to_array(rig.words($1))) as lexeme left join common using (lexeme)
    order by share, lexeme limit 32
), counted as (
    select word, rank() over rarest as place, sum(share) over rarest as upto
    from words window rarest as (order by share)
), few as (
    select greatest(least($2, reltuples / 10), 0) as most, reltuples as of_all
    from pg_class where oid = 'rig.memories'::regclass
)
select coalesce(string_agg(word, ' | '), '') as every, coalesce(string_agg(word, ' & '), '') as together,
       coalesce(string_agg(word, ' | ') filter (where place = 1 or upto * of_all <= most), '') as rare
from counted, few;

-- name: compared_memories
-- How well every memory that the filters leave matches.
select m.key, m.kind, m.importance, m.fresh,
       rig.text_rank(m.search, $6::text::tsquery, $7::text::tsquery) as rank,
       1 - (e.vector <=> $9::text::vector) as similarity
from rig.findable($1, $2, $3, $4, $5) as m
left join rig.embeddings as e on e.key = m.key and e.space = $8 and ($1 is null or e.scope = any($1));

-- name: memories_by_text
-- The best of those that hold a rare word; so many of them are ranked at most.
select key from (
    select key, search from rig.findable($1, $2, $3, $4, $5) where search @@ $6::text::tsquery limit $8
) as matching
order by rig.text_rank(search, $6::text::tsquery, $7::text::tsquery) desc, key
limit $9;

-- name: memories_nearest
select key from rig.nearest($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: memory_matches
-- How well each of these memories matches, exactly; similarity is null where there is no vector to compare.
select key, kind, importance, fresh, rig.text_rank(search, $2::text::tsquery, $3::text::tsquery) as rank,
       1 - (vector <=> $5::text::vector) as similarity
from rig.memories
left join (select key, vector from rig.embeddings where key = any($1::text[]) and space = $4) as near using (key)
where key = any($1::text[]);

-- name: memory_rows
select key, row::text as row from rig.memories where key = any($1::text[]);

-- name: list_memories
-- The newest first, behind the one written at a position; null: from the newest on.
select key, row::text as row from rig.findable($1, $2, $3, $4, $5)
where $6::bigint is null or written < $6
order by written desc
limit $7;

-- name: vector_index_there
-- Whether a space has its index.
select count(*) from pg_index
where indrelid = 'rig.embeddings'::regclass and indisvalid
  and position(quote_literal($1::text) in pg_get_expr(indpred, indrelid)) > 0;

-- name: try_lock_vector_indexes
-- Until the session ends: one makes them.
select pg_try_advisory_lock(hashtext('rig.vector_indexes'))::integer as count;

-- name: vector_index_settings
-- No parallel workers: they would need memory that a container may not share.
select set_config('maintenance_work_mem', '256MB', false), set_config('max_parallel_maintenance_workers', '0', false);

-- name: drop_half_made_vector_indexes
-- Makes the statements.
select format('drop index concurrently %s', indexrelid::regclass) as statement from pg_index
where indrelid = 'rig.embeddings'::regclass and not indisvalid;

-- name: make_vector_index
-- Makes the statement: parameters it could not have. With pgvector's own numbers (16, 64) some memories that lie apart
-- from all others had no way to them among a hundred thousand; these cost a third more time to make it.
select format(
    'create index concurrently on rig.embeddings using hnsw ((vector::halfvec(%1$s)) halfvec_cosine_ops)'
    ' with (m = 24, ef_construction = 100) where space = %2$L', $2::integer, $1::text
) as statement;

-- name: witnessed
-- The last position that can be put back.
select greatest(
    (select position from rig.projection), (select coalesce(max(position), 0) from rig.kept)
)::bigint as count;

-- name: kept_between
select position, subject, stored_at, body from rig.log where position between $1 and $2 order by position;

-- name: first_not_kept
-- The first position up to one that cannot be put back.
select coalesce(min(wanted), 0)::bigint as count from (
    select position + 1 as wanted from (select 0 as position union all select position from rig.log) as known
    where position < $1 and not exists (select from rig.log as next where next.position = known.position + 1)
) as gaps;

-- name: flush_commits
-- From here on in this transaction: it is on the disk when it is committed, and what was committed before it too.
select set_config('synchronous_commit', 'on', true);

-- name: forget_kept
delete from rig.kept;

-- name: memories_in_order
-- All of them, by scope and writing, behind one of those.
select key, row::text as row, scope, written from rig.memories
where (scope, written) > ($1, $2) order by scope, written limit $3;

-- name: list_conversations
-- Those with the newest message first, behind the one whose newest is at a position; null: from the newest on.
with talk as (
    select conversation as name, count(*) as messages, min(position) as first, max(position) as last from rig.chat
    where $1::text is null or starts_with(conversation, $1 || '/')
    group by conversation
    having $2::bigint is null or max(position) < $2
    order by max(position) desc
    limit $3
)
select newest.row ->> 'platform' as platform, newest.row ->> 'conversation' as conversation, talk.messages,
       rig.instant(oldest.row ->> 'at') as first, rig.instant(newest.row ->> 'at') as last, newest.position,
       array(
           select distinct author from rig.chat where conversation = talk.name order by author limit $4
       ) as authors
from talk
join rig.chat as oldest on oldest.conversation = talk.name and oldest.position = talk.first
join rig.chat as newest on newest.conversation = talk.name and newest.position = talk.last
order by newest.position desc;

-- name: messages_of
-- The newest first, behind the one at a position; null: from the newest on.
select row::text as row from rig.chat
where conversation = $1 and ($2::bigint is null or position < $2)
order by position desc
limit $3;
