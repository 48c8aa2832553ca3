-- +goose Up

-- "moving": this database is a copy on its way (`littlevote dbmove`), and nobody decides votes here.
ALTER TABLE ledger_epoch
    DROP CONSTRAINT ledger_epoch_state_check,
    ADD CONSTRAINT ledger_epoch_state_check CHECK (state IN ('open', 'ending', 'sealed', 'moving'));

-- +goose Down
ALTER TABLE ledger_epoch
    DROP CONSTRAINT ledger_epoch_state_check,
    ADD CONSTRAINT ledger_epoch_state_check CHECK (state IN ('open', 'ending', 'sealed'));
