-- +goose Up
-- Every row is changed once, in no indexed column: with room in its page the indexes need not hear of it.
ALTER TABLE notices SET (fillfactor = 60);

-- +goose Down
ALTER TABLE notices RESET (fillfactor);
