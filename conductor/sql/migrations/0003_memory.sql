-- What the rig remembers, made to be searched. Vectors need the extension; whoever migrates must be allowed to make it,
-- or find it made.
create extension if not exists vector;

-- A time as rows hold it, with its offset from UTC: no setting of the server has a say in what it means, and so it is
-- immutable, which PostgreSQL cannot know.
create function rig.instant(text) returns timestamptz
    immutable strict parallel safe language plpgsql as 'begin return $1::timestamptz; end';

create table rig.memories (
    key text primary key,
    row jsonb not null, -- conductor.projector.memory.MemoryRow
    scope text not null generated always as (row ->> 'scope') stored,
    kind text not null generated always as (row ->> 'kind') stored,
    importance smallint not null generated always as ((row ->> 'importance')::smallint) stored,
    tags jsonb not null generated always as (row -> 'tags') stored,
    written bigint not null generated always as ((row ->> 'position')::bigint) stored,
    fresh timestamptz not null generated always as (
        greatest(rig.instant(row ->> 'written'), rig.instant(row ->> 'last_used'))
    ) stored,
    expires timestamptz generated always as (rig.instant(row ->> 'expires_at')) stored,
    search tsvector not null generated always as (
        setweight(to_tsvector('english', row ->> 'title'), 'A')
        || setweight(jsonb_to_tsvector('english', row -> 'tags', '["string"]'), 'B')
        || setweight(to_tsvector('english', row ->> 'text'), 'C')
    ) stored
) with (fillfactor = 80); -- a use changes no indexed column: the row stays in its page, and indexes as they are
create index memories_written on rig.memories (written);
-- With what expires, so that what a filter leaves is counted in the index alone.
create index memories_scope on rig.memories (scope, written) include (expires);
create index memories_kind on rig.memories (kind) include (expires);
create index memories_importance on rig.memories (importance) include (expires);
create index memories_tags on rig.memories using gin (tags);
-- A short list of pending entries (kilobytes), since every search reads through it; without any, writing takes three
-- times as long.
create index memories_search on rig.memories using gin (search) with (gin_pending_list_limit = 256);

-- Apart from the memories, so that a use does not write the vector and its place in an index anew.
--
-- Vectors of several models and dimensions stand in one column. An index is of one space (model and dimensions) alone:
-- a partial index on an expression, made when a search would have wanted it (conductor/vectors.py), in 16-bit floats,
-- which need half the memory; what it finds is compared exactly afterwards. Up to 4 000 dimensions can be indexed.
create table rig.embeddings (
    key text primary key, -- the memory's
    row jsonb not null, -- conductor.projector.memory.EmbeddingRow
    scope text not null generated always as (row ->> 'scope') stored, -- to find those of a scope without their memories
    space text not null generated always as ((row ->> 'model') || '/' || (row ->> 'dimensions')) stored,
    vector vector not null generated always as ((row ->> 'vector')::vector) stored
);
alter table rig.embeddings alter column row set storage external; -- digits do not compress: it would only take time
create index embeddings_scope on rig.embeddings (scope);

-- The memories that a search may find: in any of the scopes, of any of the kinds, with all of the tags, at least as
-- important, not expired. Null: whatever it is. PostgreSQL puts this into the statement that asks, and finds indexes.
create function rig.findable(scopes text[], kinds text[], tags text[], importance integer, at timestamptz)
    returns table (
        key text, "row" jsonb, written bigint, kind text, importance smallint, fresh timestamptz, search tsvector
    )
    stable parallel safe language sql as $$
    select m.key, m.row, m.written, m.kind, m.importance, m.fresh, m.search from rig.memories as m
    where ($1 is null or m.scope = any($1))
      and ($2 is null or m.kind = any($2))
      and ($3 is null or m.tags ?& $3)
      and ($4 is null or m.importance >= $4)
      and (m.expires is null or m.expires > $5)
$$;

-- How well a text matches: by the rare words of a query first, and a little by every. Longer texts match less well.
create function rig.text_rank(search tsvector, rare tsquery, every tsquery) returns double precision
    immutable parallel safe language sql as 'select ts_rank($1, $2, 1) + ts_rank($1, $3, 1) / 10';

-- The findable memories next to a vector, by the index of their space. Its expression holds the dimensions, which no
-- parameter can be: hence a statement made for them.
create function rig.nearest(
    scopes text[], kinds text[], tags text[], importance integer, at timestamptz,
    space text, dimensions integer, vector text, most integer
) returns table (key text)
    stable language plpgsql as $$
begin
    return query execute format(
        'select e.key from rig.embeddings as e join rig.findable($1, $2, $3, $4, $5) as m on m.key = e.key'
        ' where e.space = $6 order by e.vector::halfvec(%1$s) <=> $7::halfvec(%1$s) limit $8', dimensions
    ) using scopes, kinds, tags, importance, at, space, vector, most;
end
$$;
