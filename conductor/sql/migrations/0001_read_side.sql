-- The read side of the rig: all of it can be dropped (drop schema rig cascade) and is written again from the log.
-- One row: how far the log has been read. It moves in the transaction of everything below.
create table rig.projection (
    singleton boolean primary key default true check (singleton),
    position bigint not null
);
insert into rig.projection (position) values (0);

-- The log's second witness: one row for every position, without a gap.
create table rig.events (
    position bigint primary key,
    subject text not null,
    stored_at timestamptz not null,
    about text, -- the subject's branch: rig.issue.acme.web.42
    actor text,
    type text,
    id text,
    time timestamptz, -- the source's own clock
    body json, -- json and not jsonb: the text as it was said; jsonb refuses \u0000, which an issue's body may hold
    repeats bigint references rig.events, -- says again what stands there; the models leave it out
    skipped text, -- why this version can read no event here
    check ((skipped is null) = (body is not null))
);
create index events_about on rig.events (about, position);
create index events_id on rig.events (id) where repeats is null;
create index events_skipped on rig.events (position) where skipped is not null;

create table rig.issues (
    owner text not null,
    repo text not null,
    number integer not null,
    opened bigint not null unique, -- position of the approval: the order of lists
    state text not null,
    agent text, -- who works on it now
    model json not null, -- conductor.projector.issues.IssueRow
    primary key (owner, repo, number)
);
create index issues_state on rig.issues (state, opened);

create table rig.agents (
    name text primary key,
    present boolean not null,
    model json not null -- conductor.projector.roster.AgentRow
);

create table rig.repositories (
    owner text not null,
    repo text not null,
    removed boolean not null,
    model json not null, -- conductor.projector.roster.RepositoryRow
    primary key (owner, repo)
);
