-- A sum as answers hold it. What one report says is as large as its teller likes, and must not keep all others from being
-- added up.
create function rig.counted(numeric) returns bigint
    immutable parallel safe language sql as $$ select least(coalesce($1, 0), 9223372036854775807)::bigint $$;
