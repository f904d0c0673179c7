-- Read models are rows under keys: what is searched by is generated from the row. They are written again from the log.
drop table rig.issues, rig.agents, rig.repositories;
truncate rig.events;
update rig.projection set position = 0;

alter table rig.events add column raw bytea; -- the body, where nothing was read from it: for who puts the log back

-- Events that the read side could not take: from then on they are skipped like what is no event.
create table rig.poison (
    position bigint primary key,
    why text not null
);

create table rig.issues (
    key text primary key, -- acme/web#42
    row jsonb not null, -- conductor.projector.issues.IssueRow
    repository text generated always as (split_part(key, '#', 1)) stored,
    opened bigint generated always as ((row ->> 'opened')::bigint) stored unique,
    state text generated always as (row -> 'standing' ->> 'state') stored,
    agent text generated always as (row -> 'standing' ->> 'agent') stored
);
create index issues_state on rig.issues (state, opened);
create index issues_repository on rig.issues (repository, opened);
create index issues_agent on rig.issues (agent) where agent is not null;

create table rig.agents (
    key text primary key,
    row jsonb not null, -- conductor.projector.roster.AgentRow
    present boolean generated always as (row ->> 'left' is null) stored
);

create table rig.repositories (
    key text primary key,
    row jsonb not null, -- conductor.projector.roster.RepositoryRow
    removed boolean generated always as ((row ->> 'removed')::boolean) stored
);

create table rig.runs (
    key text primary key, -- issue/run
    row jsonb not null, -- conductor.projector.runs.RunRow
    issue text generated always as (split_part(key, '#', 1) || '#' || split_part(split_part(key, '#', 2), '/', 1)) stored,
    agent text generated always as (row ->> 'agent') stored
);
create index runs_issue on rig.runs (issue);

create table rig.spend (
    key text primary key, -- day/issue/run/provider/model
    row jsonb not null, -- conductor.projector.runs.SpendRow
    day text generated always as (row ->> 'day') stored,
    cost bigint generated always as ((row -> 'tokens' ->> 'cost')::bigint) stored -- millionths of a US dollar
);
create index spend_day on rig.spend (day);

create table rig.reviews (key text primary key, row jsonb not null); -- issue/head/reviewer: judgements.ReviewRow
create table rig.gates (key text primary key, row jsonb not null); -- issue/head/reason: judgements.GateRow
create table rig.effects (key text primary key, row jsonb not null); -- issue/effect/key: talk.EffectRow
create table rig.chat (
    key text primary key, -- platform/conversation/id
    row jsonb not null, -- conductor.projector.talk.ChatRow
    conversation text generated always as ((row ->> 'platform') || '/' || (row ->> 'conversation')) stored,
    position bigint generated always as ((row ->> 'position')::bigint) stored
);
create index chat_conversation on rig.chat (conversation, position);

-- The conductor's own fold, shown: conductor.projector.overviews.
create table rig.budgets (key text primary key, row jsonb not null);
create table rig.trust (key text primary key, row jsonb not null);
create table rig.milestones (key text primary key, row jsonb not null);
create table rig.incidents (key text primary key, row jsonb not null);
create table rig.pauses (key text primary key, row jsonb not null);
