-- One name may have a template for each weight file, so that a gallery can move to new weights while the old are in use.
CREATE TABLE driver_2 (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created TEXT NOT NULL,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    weights TEXT NOT NULL,
    contract TEXT NOT NULL,
    contract_digest TEXT NOT NULL,
    template BLOB NOT NULL,
    UNIQUE (name, weights, contract_digest)
);
CREATE TABLE sample_2 (
    id INTEGER PRIMARY KEY,
    driver_id INTEGER NOT NULL REFERENCES driver_2 (id) ON DELETE CASCADE,
    content TEXT NOT NULL,
    source TEXT NOT NULL,
    added TEXT NOT NULL,
    frames INTEGER NOT NULL,
    windows TEXT NOT NULL,
    vectors BLOB NOT NULL,
    UNIQUE (driver_id, content)
);
INSERT INTO driver_2 SELECT * FROM driver;
INSERT INTO sample_2 SELECT * FROM sample;
DROP TABLE sample;
DROP TABLE driver;
ALTER TABLE driver_2 RENAME TO driver;
ALTER TABLE sample_2 RENAME TO sample;
CREATE INDEX sample_content ON sample (content);
