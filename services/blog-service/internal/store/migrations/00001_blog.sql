-- +goose Up

-- Who has registered. Ids tell their time: milliseconds since 1970 * 4096 + a number below that.
CREATE TABLE blog_users (
    id            bigint      NOT NULL PRIMARY KEY,
    tenant        text        NOT NULL,
    name          text        NOT NULL, -- as written
    name_key      text        NOT NULL, -- what makes two names the same
    password_hash text        NOT NULL, -- argon2id, with its salt and parameters
    created_at    timestamptz NOT NULL,
    CONSTRAINT blog_users_name UNIQUE (tenant, name_key),
    CONSTRAINT blog_users_tenant UNIQUE (tenant, id)
);

-- What they have written. A deleted post keeps its row, without its contents: its version must not begin anew, and its id
-- must not come again.
CREATE TABLE blog_posts (
    id              bigint      NOT NULL PRIMARY KEY,
    tenant          text        NOT NULL,
    author          bigint      NOT NULL,
    title           text        NOT NULL,
    content         text        NOT NULL,
    version         bigint      NOT NULL DEFAULT 1, -- grows with every change
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    idempotency_key uuid,                           -- of its creation
    created_hash    bytea       NOT NULL,           -- SHA-256 of what it was created with
    CONSTRAINT blog_posts_author FOREIGN KEY (tenant, author) REFERENCES blog_users (tenant, id)
);

CREATE UNIQUE INDEX blog_posts_key ON blog_posts (author, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX blog_posts_newest ON blog_posts (tenant, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX blog_posts_newest_of ON blog_posts (tenant, author, id DESC) WHERE deleted_at IS NULL;

-- +goose Down
DROP TABLE blog_posts;
DROP TABLE blog_users;
