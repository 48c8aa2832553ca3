-- +goose Up

-- Whether the log knows that the batch had no effect: it must not have any either when the log is applied to a restored backup.
ALTER TABLE dropped_batches ADD COLUMN told boolean NOT NULL DEFAULT false;
CREATE INDEX dropped_batches_untold ON dropped_batches (batch_id) WHERE NOT told;

-- +goose Down
ALTER TABLE dropped_batches DROP COLUMN told;
