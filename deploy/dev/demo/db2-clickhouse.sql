-- Demo data of db2 for ClickHouse; the same as in db2.sql.  May be run again.

DELETE FROM logs WHERE id BETWEEN 1 AND 9;

INSERT INTO logs (id, datetime, user_id, space_type_id, event_type_id, object_id)
VALUES (1, '2025-06-29 09:00:00', 1, 1, 1, 0),
       (2, '2025-06-29 09:05:00', 1, 3, 2, 1),
       (3, '2025-06-29 09:10:00', 1, 1, 5, 0),
       (4, '2025-06-29 10:00:00', 2, 1, 1, 0),
       (5, '2025-06-29 10:05:00', 2, 3, 2, 2),
       (6, '2025-06-29 10:10:00', 2, 1, 5, 0),
       (7, '2025-06-29 11:00:00', 3, 1, 1, 0),
       (8, '2025-06-29 11:05:00', 3, 3, 2, 3),
       (9, '2025-06-29 11:10:00', 3, 1, 5, 0);
