-- Runs once, when the volume is empty.
CREATE TABLE links (
    id         serial PRIMARY KEY,
    slug       text NOT NULL UNIQUE,
    url        text NOT NULL,
    title      text NOT NULL,
    added_at   timestamptz NOT NULL DEFAULT now(),
    read_at    timestamptz
);

INSERT INTO links (slug, url, title)
VALUES ('welcome', 'https://example.com/', 'Welcome to your shelf');
