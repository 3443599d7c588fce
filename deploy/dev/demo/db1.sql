-- Demo data of db1: three users, each with a blog and a post.  May be run again.

INSERT INTO users (id, login, email)
VALUES (1, 'vladimir', 'vladimir@example.com'),
       (2, 'yanina', 'yanina@example.com'),
       (3, 'natalya', 'natalya@example.com')
ON CONFLICT DO NOTHING;

INSERT INTO blog (id, owner_id, name, description)
VALUES (1, 1, 'Блог Владимира', 'О новостройках'),
       (2, 2, 'Блог Янины', 'О новостройках'),
       (3, 3, 'Блог Натальи', 'О новостройках')
ON CONFLICT DO NOTHING;

INSERT INTO post (id, header, text, author_id, blog_id)
VALUES (1, 'ЖК Эдельвейс', 'Обзор ЖК Эдельвейс', 1, 1),
       (2, 'ЖК Ромашка', 'Обзор ЖК Ромашка', 2, 2),
       (3, 'ЖК Ландыши', 'Обзор ЖК Ландыши', 3, 3)
ON CONFLICT DO NOTHING;

-- The rows above name their ids; those that come later are given the next ones.
SELECT setval(pg_get_serial_sequence('users', 'id'), (SELECT max(id) FROM users));
SELECT setval(pg_get_serial_sequence('blog', 'id'), (SELECT max(id) FROM blog));
SELECT setval(pg_get_serial_sequence('post', 'id'), (SELECT max(id) FROM post));
