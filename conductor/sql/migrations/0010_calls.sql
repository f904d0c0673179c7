-- What is spent need not be spent on an issue: calls of models outside the runs are told too, by what they were for.
delete from rig.spend;

alter table rig.spend
    alter column issue drop not null,
    alter column repository drop not null,
    add column purpose text not null generated always as (row ->> 'purpose') stored;
