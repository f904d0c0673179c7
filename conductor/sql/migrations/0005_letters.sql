-- What could not be handled, as RIG_DEAD tells it: the one model that is not of the log.
create table rig.dead_letters (
    key text primary key, -- position in RIG_DEAD
    row jsonb not null, -- schemas.DeadLetterLine
    id bigint not null generated always as (key::bigint) stored unique, -- the order of lists
    state text not null generated always as (row ->> 'state') stored
);
create index dead_letters_state on rig.dead_letters (state, id);

-- How far RIG_DEAD was read for them; it moves in the transaction of their rows.
create table rig.dead (
    singleton boolean primary key default true check (singleton),
    position bigint not null
);
insert into rig.dead (position) values (0);

alter table rig.poison add column letter bigint; -- position of its dead letter; null: it has none yet

-- How often it was changed what the read side leaves out, or by which fold its rows are made: whoever writes rows goes
-- on only where that is as he knows it.
alter table rig.projection add column changes bigint not null default 0;

-- By which version of its fold the rows of each table are made; none: they are made anew.
create table rig.models (
    name text primary key,
    rules integer not null, -- conductor.decide.RULES
    version integer not null -- the model's own
);
