ALTER TABLE job ADD COLUMN finished timestamptz
