-- What was spent is told by who spent it too, and beside it stands what came of it. Rows that there are already are made
-- again from the events: what a fold of the log would make.
create function rig.instant_text(timestamptz) returns text
    stable strict parallel safe language sql as $$
    select to_char($1 at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS')
        || case when extract(microseconds from $1)::integer % 1000000 = 0 then ''
                else to_char($1 at time zone 'utc', '.US') end || 'Z'
$$;

create function rig.repository_of(issue jsonb) returns text -- of what a row calls its issue
    immutable parallel safe language sql as $$ select (issue ->> 'owner') || '/' || (issue ->> 'repo') $$;
create function rig.name_of(issue jsonb) returns text -- acme/web#42
    immutable parallel safe language sql as $$ select rig.repository_of(issue) || '#' || (issue ->> 'number') $$;

create view rig.told as -- the events of issues, as the models read them; without \u0000, which no function on JSON takes
select e.position, e.actor, e.type, e.time, to_char(e.time at time zone 'utc', 'YYYY-MM-DD') as day,
       jsonb_build_object(
           'owner', replace(split_part(e.about, '.', 3), '%2E', '.'),
           'repo', replace(split_part(e.about, '.', 4), '%2E', '.'), 'number', split_part(e.about, '.', 5)::integer
       ) as issue,
       said ->> 'source' as source, said -> 'data' as data
from rig.events as e, lateral (select replace(e.body::text, '\u0000', '\ufffd')::json as said) as read
where e.repeats is null and e.skipped is null
  and e.type in ('rig.issue.tokens_used.v1', 'rig.issue.merged.v1', 'rig.issue.reverted.v1');

delete from rig.spend;
insert into rig.spend (key, row)
select day || '/' || rig.name_of(issue) || '/' || run || '/' || replace(replace(source, '%', '%25'), '/', '%2F')
           || '/' || replace(replace(provider, '%', '%25'), '/', '%2F') || '/' || model,
       jsonb_build_object(
           'day', day, 'issue', issue, 'run', run, 'role', (array_agg(actor order by position))[1],
           'agent', coalesce(nullif(substr(source, nullif(position('/' in source), 0) + 1), ''), source),
           'provider', provider, 'model', model,
           'tokens', jsonb_build_object(
               'input', sum(input), 'output', sum(output), 'cache_read', sum(cache_read),
               'cache_write', sum(cache_write), 'cost', sum(cost), 'unpriced', count(*) filter (where cost is null)
           )
       )
from (
    select position, actor, day, issue, source, data ->> 'run' as run, data ->> 'provider' as provider,
           coalesce(data ->> 'model', '') as model,
           coalesce((data ->> 'input')::bigint, 0) as input, coalesce((data ->> 'output')::bigint, 0) as output,
           coalesce((data ->> 'cache_read')::bigint, 0) as cache_read,
           coalesce((data ->> 'cache_write')::bigint, 0) as cache_write,
           round((data ->> 'cost_usd')::double precision * 1000000)::bigint as cost
    from rig.told where type = 'rig.issue.tokens_used.v1'
) as used
group by day, issue, run, source, provider, model;
update rig.spend set row = jsonb_set(row, '{tokens,cost}', '0') where row -> 'tokens' ->> 'cost' is null;

alter table rig.spend -- day/issue/run/source/provider/model: conductor.projector.runs.SpendRow
    add column issue text not null generated always as (rig.name_of(row -> 'issue')) stored,
    add column repository text not null generated always as (rig.repository_of(row -> 'issue')) stored,
    add column role text not null generated always as (row ->> 'role') stored,
    add column agent text not null generated always as (row ->> 'agent') stored,
    add column model text not null generated always as (row ->> 'model') stored,
    add column input bigint not null generated always as ((row -> 'tokens' ->> 'input')::bigint) stored,
    add column output bigint not null generated always as ((row -> 'tokens' ->> 'output')::bigint) stored,
    add column cache_read bigint not null generated always as ((row -> 'tokens' ->> 'cache_read')::bigint) stored,
    add column cache_write bigint not null generated always as ((row -> 'tokens' ->> 'cache_write')::bigint) stored,
    add column unpriced bigint not null generated always as ((row -> 'tokens' ->> 'unpriced')::bigint) stored;
create index spend_issue on rig.spend (issue);

create table rig.merges (
    key text primary key, -- issue/merge commit
    row jsonb not null, -- conductor.projector.merges.MergeRow
    issue text not null generated always as (rig.name_of(row -> 'issue')) stored,
    repository text not null generated always as (rig.repository_of(row -> 'issue')) stored,
    day text not null generated always as (row ->> 'day') stored,
    reverted boolean not null generated always as (row ->> 'reverted' is not null) stored
);
create index merges_issue on rig.merges (issue);
create index merges_day on rig.merges (day);
insert into rig.merges (key, row)
select distinct on (issue, data ->> 'merge_sha') rig.name_of(issue) || '/' || (data ->> 'merge_sha'),
       jsonb_build_object(
           'issue', issue, 'merge_sha', data ->> 'merge_sha', 'head_sha', data ->> 'head_sha', 'day', day,
           'merged', rig.instant_text(time),
           'reverted', (
               select rig.instant_text(r.time) from rig.told as r
               where r.type = 'rig.issue.reverted.v1' and r.issue = m.issue and r.position > m.position
                 and r.data ->> 'merge_sha' = m.data ->> 'merge_sha'
               order by r.position limit 1
           )
       )
from rig.told as m where type = 'rig.issue.merged.v1'
order by issue, data ->> 'merge_sha', position;

drop view rig.told;
drop function rig.instant_text(timestamptz);
