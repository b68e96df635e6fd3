-- The demo site's members, as its own database has always held them, with one column more: who of them has a
-- journey, and which. The id is text: some databases and languages would round a number of this size.
-- Both sign in with the password rowan-berry.
CREATE TABLE users (
    login      TEXT PRIMARY KEY,
    password   TEXT NOT NULL,
    journey_id TEXT NOT NULL DEFAULT ''
);
INSERT INTO users VALUES ('john',  '$2y$05$xkXlBfvgLBr.nph6W6EsFuLMvGqUSkc9S/EI1xfbO6DNfDOTBGrte', '@JOURNEY@');
INSERT INTO users VALUES ('nadia', '$2y$05$8pfIGhlzltXnGsGoENlzDOrcdNnkZ0TRvYcdbbZW3YB.H/hYZJnSS', '');
