-- Changes of what the tables, sequences and large objects hold: one of each kind, made in a restored copy before it is
-- compared; every definition stays as it is. The line after each says how the difference has to begin, and after the dots what it has to contain.
UPDATE k.child SET own = 0 WHERE id = 7;
--> table k.child: holds other values
UPDATE ONLY k.parent SET a = 'q';
--> table k.parent: holds other values
UPDATE k.part_26 SET what = 'other' WHERE at = '2026-01-04';
--> table k.part_26: holds other values
DELETE FROM k.part_other_0 WHERE at = '2028-01-02';
--> table k.part_other_0: has …  rows, the snapshot had 
UPDATE k.unlogged SET i = 0 WHERE i = 20;
--> table k.unlogged: holds other values
INSERT INTO k.no_columns DEFAULT VALUES;
--> table k.no_columns: has 3 rows, the snapshot had 2
DELETE FROM k.lost_columns;
--> table k.lost_columns: has 0 rows, the snapshot had 1
UPDATE k.generated SET n = 0 WHERE n = 30;
--> table k.generated: holds other values
UPDATE k.aliases SET q = c, c = q WHERE q = 3;
--> table k.aliases: holds other values
UPDATE k."My ""Table"" 'here'
" SET one = 2;
--> table k."My ""Table"" 'here' … holds other values
UPDATE k.exchanged SET amount = 3 - id WHERE id IN (1, 2);
--> table k.exchanged: holds other values
UPDATE k.doubled SET same = 1 WHERE ctid = (SELECT min(ctid) FROM k.doubled WHERE same = 0);
--> table k.doubled: holds other values
UPDATE k.big SET text = overlay(text PLACING 'x' FROM 500000);
--> table k.big: holds other values
UPDATE k.guarded SET tenant = 'c' WHERE id = 2;
--> table k.guarded: holds other values
INSERT INTO k.d_typed VALUES (1);
--> table k.d_typed: has 1 rows, the snapshot had 0
PERFORM setval('k.rising', 5);
--> sequence k.rising: goes on at 6, the database at 2
PERFORM setval('k.falling', 100);
--> sequence k.falling: goes on at 97, the database at 94
PERFORM setval('k.turning', 3);
--> sequence k.turning: goes on at 4, the database at 2
PERFORM nextval('k.untouched');
--> sequence k.untouched: goes on at 10, the database at 9
PERFORM nextval('k.small');
--> sequence k.small: goes on at 8, the database at 7
PERFORM nextval('k.generated_id_seq');
--> sequence k.generated_id_seq: goes on at 
PERFORM nextval('k.generated_code_seq');
--> sequence k.generated_code_seq: goes on at 32, the database at 31
-- Behind its end, so that it outlasts a restore of the large object that comes later.
PERFORM lo_put(900003, 3000000, 'y'::bytea);
--> table large objects: holds other values
FOR it IN SELECT name, becomes FROM k.types LOOP
    EXECUTE format('UPDATE k.%I SET v = %L WHERE id = 2', 'type_' || it.name, it.becomes);
END LOOP;
--> each type
