DROP TABLE logs;
DROP TABLE event_type;
DROP TABLE space_type;
