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

-- name: migrated
select name from rig.migrations;

-- name: record_migration
insert into rig.migrations (name) values ($1);

-- name: position
select position from rig.projection;

-- name: lock_position
select position from rig.projection for update;

-- name: set_position
update rig.projection set position = $1;

-- name: tell_position
-- Heard by the query service once the transaction is committed.
select pg_notify('rig_position', $1::text);

-- name: event_at
select subject, body::text as body, skipped from rig.events where position = $1;

-- name: events_between
select position, subject, body::text as body, raw from rig.events where position between $1 and $2;

-- name: said_before
-- What was said under these ids.
select position, subject, body::text as body from rig.events where id = any($1::text[]) and repeats is null;

-- name: poisoned
select position, why from rig.poison;

-- name: add_poison
insert into rig.poison (position, why) values ($1, $2) on conflict (position) do nothing;

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

-- name: drop_shadow
drop table if exists rig.{table}_next;

-- name: make_shadow
-- Not written ahead: nothing is lost with it.
create unlogged table rig.{table}_next (key text primary key, row jsonb not null);

-- name: empty_table
-- Not truncated: who reads an older snapshot still finds its rows.
delete from rig.{table};

-- name: fill_table
insert into rig.{table} (key, row) select key, row from rig.{table}_next;

-- name: count_skipped
select count(*) from rig.events where skipped is not null;

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
