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

-- name: first_said
-- Where these ids were said first, and what was said.
select position, subject, body::text as body from rig.events where id = any($1::text[]) and repeats is null;

-- name: insert_event
insert into rig.events (position, subject, stored_at, about, actor, type, id, time, body, repeats, skipped)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10, $11);

-- name: issue_rows
select model::text from rig.issues
join unnest($1::text[], $2::text[], $3::integer[]) as wanted (owner, repo, number) using (owner, repo, number);

-- name: put_issue
insert into rig.issues (owner, repo, number, opened, state, agent, model)
values ($1, $2, $3, $4, $5, $6, $7::text::json)
on conflict (owner, repo, number) do update
set state = excluded.state, agent = excluded.agent, model = excluded.model;

-- name: agent_rows
select model::text from rig.agents where name = any($1::text[]);

-- name: put_agent
insert into rig.agents (name, present, model) values ($1, $2, $3::text::json)
on conflict (name) do update set present = excluded.present, model = excluded.model;

-- name: repository_rows
select model::text from rig.repositories
join unnest($1::text[], $2::text[]) as wanted (owner, repo) using (owner, repo);

-- name: put_repository
insert into rig.repositories (owner, repo, removed, model) values ($1, $2, $3, $4::text::json)
on conflict (owner, repo) do update set removed = excluded.removed, model = excluded.model;

-- name: count_skipped
select count(*) from rig.events where skipped is not null;

-- name: count_issues
select state, count(*) as issues from rig.issues group by state;

-- name: count_present
select count(*) from rig.agents where present;

-- name: present_repositories
select model::text from rig.repositories where not removed order by owner, repo limit $1;

-- name: list_issues
select model::text, opened from rig.issues
where opened > $1
  and ($2::text is null or owner = $2)
  and ($3::text is null or repo = $3)
  and ($4::text is null or state = $4)
order by opened
limit $5;

-- name: one_issue
select model::text from rig.issues where owner = $1 and repo = $2 and number = $3;

-- name: newest_events_about
select position, stored_at, subject, body::text as body from rig.events
where about = $1 and repeats is null and skipped is null
order by position desc
limit $2;

-- name: count_events_about
select count(*) from rig.events where about = $1 and repeats is null and skipped is null;

-- name: list_agents
select model::text from rig.agents order by name;

-- name: busy
select agent, owner, repo, number from rig.issues where agent is not null order by owner, repo, number;
