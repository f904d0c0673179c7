-- Conversations are listed, with who wrote in them; each message says more exactly who said it. The projector makes the
-- rows anew.
delete from rig.chat;
alter table rig.chat add column author text generated always as (row ->> 'author') stored;
create index chat_authors on rig.chat (conversation, author);
