-- What was spent is told by who spent it too, and beside it stands what came of it. The projector makes the rows anew.
delete from rig.spend;

create function rig.repository_of(issue jsonb) returns text -- of what a row calls its issue
    immutable parallel safe language sql as $$ select (issue ->> 'owner') || '/' || (issue ->> 'repo') $$;
create function rig.name_of(issue jsonb) returns text -- acme/web#42
    immutable parallel safe language sql as $$ select rig.repository_of(issue) || '#' || (issue ->> 'number') $$;

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
