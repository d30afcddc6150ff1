CREATE TABLE IF NOT EXISTS votes (voter text PRIMARY KEY, choice text NOT NULL);
CREATE TABLE IF NOT EXISTS incoming (voter text, choice text);
