/** The environment variable with a superuser's URL of the PostgreSQL that tests may fill with databases. */
export const testVariable = "KONTOR_TEST_POSTGRES";

/** The database there that test databases are copied from: it has the extensions. */
export const testTemplate = "kontor_test_template";
