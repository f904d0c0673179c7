-- What stands in a path, an address or a dotted name is found by itself too: left alone, the server's parser makes one
-- word of conductor/policy.py, of asyncio.TimeoutError and of ops@acme.com.
create function rig.words(text) returns tsvector
    immutable strict parallel safe language sql as
    $$ select to_tsvector('english'::regconfig, regexp_replace($1, '[./:@\\]+(?=[[:alpha:]_])', ' ', 'g')) $$;

alter table rig.memories drop column search;
alter table rig.memories add column search tsvector not null generated always as (
    setweight(rig.words(row ->> 'title'), 'A')
    || setweight(rig.words(row ->> 'tags'), 'B')
    || setweight(rig.words(row ->> 'text'), 'C')
) stored;
create index memories_search on rig.memories using gin (search) with (gin_pending_list_limit = 256);
