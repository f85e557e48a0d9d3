/** Whether a location is the URL of a PostgreSQL server. Apart from the database, so that flags are checked without loading it. */
export const isPostgresUrl = (location: string) => /^postgres(ql)?:\/\//.test(location)
