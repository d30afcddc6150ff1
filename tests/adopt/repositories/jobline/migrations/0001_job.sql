CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    args text NOT NULL,
    state text NOT NULL,
    result text
)
