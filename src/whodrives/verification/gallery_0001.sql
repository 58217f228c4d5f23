-- Templates are personal data: everything about a driver hangs on the driver's row and is deleted with it.
CREATE TABLE driver (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    model_name TEXT NOT NULL,
    model_version TEXT NOT NULL,
    weights TEXT NOT NULL,
    contract TEXT NOT NULL,
    contract_digest TEXT NOT NULL,
    template BLOB NOT NULL
);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY,
    driver_id INTEGER NOT NULL REFERENCES driver (id) ON DELETE CASCADE,
    content TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    added TEXT NOT NULL,
    frames INTEGER NOT NULL,
    windows TEXT NOT NULL,
    vectors BLOB NOT NULL
);
CREATE INDEX sample_driver ON sample (driver_id);
