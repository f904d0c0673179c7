-- What stood in the log behind what the read side had read, while `rig restore` makes the log anew.
create table rig.kept (
    position bigint primary key,
    subject text not null,
    stored_at timestamptz not null,
    body bytea not null
);

-- The log as it can be put back: the body byte for byte.
create view rig.log as
select position, subject, stored_at, coalesce(raw, convert_to(body::text, 'UTF8')) as body from rig.events
union all
select position, subject, stored_at, body from rig.kept
where position > (select coalesce(max(position), 0) from rig.events);
