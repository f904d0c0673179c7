-- A vector goes with its memory: those that came for one that was no more were kept.
delete from rig.embeddings as e where not exists (select from rig.memories as m where m.key = e.key);

-- Conversations are listed, with who wrote in them; each message says more exactly who said it.
-- The text of an event may hold \u0000, which none of PostgreSQL's functions on JSON takes.
update rig.chat as c
set row = c.row || jsonb_build_object('source', replace(e.body::text, '\u0000', '\ufffd')::json ->> 'source')
from rig.events as e where e.position = c.position;
alter table rig.chat add column author text generated always as (row ->> 'author') stored;
create index chat_authors on rig.chat (conversation, author);
