"""BigQuery on DuckDB: bqemulator 1.4.0, in an environment of its own, corrected.

    python -m emulators.bigquery --data DIR --gcs-root DIR [--port N] [--grpc-port N]

The environment is made on first use (``environment.py``; about 600 MB, pins in
``requirements.txt``). ``gs://BUCKET/NAME`` is read from ``GCS-ROOT/BUCKET/NAME``: point it at
the mirror of ``emulators.storage``. Data survive a restart and a SIGKILL. One request runs at a
time.

What was found with google-cloud-bigquery 3.47, each by real calls. **Works**, with the
corrections that the modules here make, each named at its head:

  - Tables through the API: REQUIRED (enforced, in loads and DML), NUMERIC(p, s), TIMESTAMP,
    DATE, DATETIME, TIME, JSON, BYTES, REPEATED; descriptions, labels, ``time_partitioning``,
    ``clustering_fields``; ``num_rows`` is exact; ``update_table`` adds NULLABLE columns and
    relaxes REQUIRED, refuses all else with 400 and a stale etag with 412. Types read back by
    their legacy names (INTEGER, FLOAT, BOOLEAN), as BigQuery has them.
  - DDL: ``CREATE [OR REPLACE] TABLE [IF NOT EXISTS] … PARTITION BY … CLUSTER BY … OPTIONS
    (description, labels)``, also ``AS SELECT``; ``CREATE OR REPLACE VIEW``; ``ALTER TABLE ADD
    COLUMN``; ``CREATE TABLE … LIKE`` and ``… CLONE``; ``DROP``.
  - Load jobs of Parquet from ``gs://`` URIs, several, with ``*``: by column name, all files or
    none, types that do not fit refused (400, reason ``invalid``), a missing URI is 404, a
    REQUIRED column missing or null is 400; ``output_rows``, ``input_files``. Lists need
    ``ParquetOptions.enable_list_inference``, as there.
  - Job ids once: 409 for query and load jobs, failed ones and after a restart too; ``get_job``
    finds them, with labels. ``slot_millis`` is the time taken; bytes processed and billed are
    0.
  - Scripts: DECLARE, SET, IF, loops, ``BEGIN TRANSACTION … COMMIT`` (real: all or nothing,
    rolled back when it fails or is not committed; permanent DDL refused in it, CREATE TEMP
    TABLE allowed), EXCEPTION WHEN ERROR, RAISE, ASSERT, ``@@row_count``, ``@@error.message``,
    query parameters; the last SELECT is the job's result.
  - MERGE with every clause; more than one source row for a target row is refused. ``DELETE FROM
    … WHERE EXISTS`` correlated, ``INSERT … SELECT … QUALIFY``, window functions, ``EXCEPT``,
    ``UNNEST (@array)`` (an empty one too).
  - ``list_rows`` and query results ``to_arrow(create_bqstorage_client=False)``: NaN,
    infinities, the first and last day, 38 digits come back as they went in. By REST about
    20,000 rows/s; by the Storage Read API (``grpc`` address, insecure channel, committed data
    only) 100,000 rows/s.

**Differs**, to be written around:

  - ``DELETE t WHERE`` needs its FROM. ``CREATE TABLE … COPY`` is no syntax here. ``SELECT *``
    over an array of structs gives one column: select from a subquery instead.
  - NUMERIC divided or averaged is FLOAT64: cast the result. BIGNUMERIC becomes DECIMAL(38, 9),
    and as a column of the API it needs a precision of at most 38.
  - An error in a transaction undoes it at once: its handler may roll back, not commit.
  - ``schemaUpdateOptions`` are refused (501): ALTER or ``update_table`` first. Loading without
    a table needs a schema. Uploaded files (``load_table_from_file``, ``…_dataframe``) go
    through bqemulator's own code: by position, and their job ids are not checked.
  - ``FOR SYSTEM_TIME AS OF`` is refused (501); ``require_partition_filter``, expiration and
    table constraints are not enforced; ``dml_stats`` is absent (``num_dml_affected_rows`` is
    there).
  - Avoid: sessions, query ``destination``, ``EXECUTE IMMEDIATE … USING``, ``LOAD DATA``, ``ADD
    PRIMARY KEY``, ``INSERT ROW``, materialised views.
  - Results of the last 256 queries are kept for ``getQueryResults``, and not over a restart.
"""
