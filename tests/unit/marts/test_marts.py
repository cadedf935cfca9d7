"""Marts: what their SQL says, and in which order they are built."""

from __future__ import annotations

import pytest

from eventpulse.errors import ContractInvalid
from eventpulse.marts.mart import Mart, affected_marts, order_marts, read_mart


def problems_of(text: str, name: str = "m") -> list[str]:
    with pytest.raises(ContractInvalid) as caught:
        read_mart(name, text)
    assert caught.value.source == f"marts/{name}.sql"
    found = caught.value.problems
    assert isinstance(found, list)
    return found


# --- Head ----------------------------------------------------------------------------------------


def test_the_head_says_how_a_mart_is_published() -> None:
    mart = read_mart(
        "daily_delays",
        "-- materialize: table\n--description:  Delays: by day \n\n"
        "-- not a key\nSELECT 1 AS one; \n",
    )
    assert mart.materialization == "table"
    assert mart.description == "Delays: by day"
    assert mart.sql == "-- not a key\nSELECT 1 AS one"


def test_a_mart_without_a_head_is_a_view() -> None:
    mart = read_mart("m", "SELECT 1 AS one")
    assert (mart.materialization, mart.description) == ("view", "")


def test_a_head_in_a_file_from_windows() -> None:
    mart = read_mart("m", "-- materialize: table\r\nSELECT 1 AS one,\r\n 2 AS two\r\n")
    assert mart.materialization == "table"
    assert mart.columns == ("one", "two")


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        (
            "-- description: a\n-- materialise: view",
            "line 2: 'materialise' is unknown; the head has materialize and description",
        ),
        ("-- materialize: views", "line 1: materialize is `view` or `table`, not 'views'"),
        ("-- materialize: view\n-- materialize: view", "line 2: 'materialize' is given twice"),
        (
            "-- materialize view",
            "line 1: '-- materialize view' is not `-- key: value`; other comments follow an empty "
            "line below the head",
        ),
    ],
)
def test_a_head_that_nobody_would_read_is_an_error(head: str, problem: str) -> None:
    assert problems_of(f"{head}\nSELECT 1 AS one") == [problem]


@pytest.mark.parametrize("name", ["", "Daily", "1st", "a-b", "a.b", "a; DROP", "a" * 64])
def test_a_marts_name_is_a_plain_word(name: str) -> None:
    assert problems_of("SELECT 1 AS one", name) == [
        "the name of a mart has at most 63 lower-case letters, digits and underscores"
    ]


# --- SQL -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("", "there is no SELECT"),
        ("\n-- only a comment\n", "there is no SELECT"),
        ("\n\nCREATE VIEW v AS SELECT 1 AS x", "line 3: a mart is one SELECT, and this is CREATE"),
        ("DELETE FROM curated.a WHERE TRUE", "line 1: a mart is one SELECT, and this is DELETE"),
        ("INSERT INTO curated.a SELECT 1", "line 1: a mart is one SELECT, and this is INSERT"),
        ("DROP TABLE curated.a", "line 1: a mart is one SELECT, and this is DROP"),
        ("CALL run()", "line 1: a mart is one SELECT, and this is CALL"),
        (
            "SELECT 1 AS x; DROP TABLE curated.a",
            "there is more than one statement; a mart is one SELECT",
        ),
        (
            "SELECT 1 AS x INTO y",
            "line 1: a mart does not say INTO; its name is its file's",
        ),
        ("SELECT 1 AS x,\nFROM WHERE", "line 2: the SQL cannot be parsed near 'WHERE'"),
        (
            "SELECT 1 AS x\nWHERE a = 'open",
            "line 2: the SQL ends inside a string, a quoted name or a comment",
        ),
        (
            "SELECT x\nFROM staging.a",
            "line 2: staging.a cannot be read; a mart reads curated.<dataset> and marts.<name>",
        ),
        (
            "SELECT x FROM a",
            "line 1: a cannot be read; a mart reads curated.<dataset> and marts.<name>",
        ),
        (
            "SELECT x FROM acme.curated.a",
            "line 1: acme.curated.a cannot be read; a mart reads curated.<dataset> and "
            "marts.<name>",
        ),
        (
            "SELECT x FROM EXTERNAL_QUERY('c', 'SELECT 1')",
            "line 1: EXTERNAL_QUERY('c', 'SELECT 1') cannot be read; a mart reads "
            "curated.<dataset> and marts.<name>",
        ),
        ("SELECT x FROM `curated.a_*`", "line 1: 'a_*' is not the name of one table"),
        (
            "SELECT x,\n COUNT(*)\nFROM curated.a GROUP BY x",
            "line 2: the column COUNT(*) has no name; add AS <name>",
        ),
        ("SELECT x,\n y AS X FROM curated.a", "line 2: there is more than one column 'X'"),
        (
            "SELECT\n *\nFROM curated.a",
            "line 2: name the columns instead of *, so that a new column of a table never changes "
            "the mart",
        ),
        (
            "SELECT a.*, 1 AS one FROM curated.a AS a",
            "line 1: name the columns instead of a.*, so that a new column of a table never "
            "changes the mart",
        ),
        (
            "WITH c AS (SELECT * FROM curated.a) SELECT c.x FROM c",
            "line 1: name the columns instead of *, so that a new column of a table never changes "
            "the mart",
        ),
        (
            "SELECT a.id,\n  x\nFROM curated.a JOIN curated.b ON a.id = b.id",
            "line 2: column 'x' could not be resolved; where several tables are joined, write each "
            "column's table before it",
        ),
        (
            "WITH c AS (SELECT x FROM curated.a)\nSELECT y FROM c",
            "line 2: column 'y' could not be resolved; where several tables are joined, write each "
            "column's table before it",
        ),
        (
            "SELECT z.x FROM curated.a",
            "line 1: column 'x' could not be resolved for table: 'z'; where several tables are "
            "joined, write each column's table before it",
        ),
    ],
)
def test_what_is_not_one_plain_select_is_refused(sql: str, problem: str) -> None:
    assert problems_of(sql) == [problem]


def test_lines_are_those_of_the_file_head_included() -> None:
    text = "-- materialize: table\n-- description: d\n\nSELECT x\nFROM somewhere.else_\n"
    assert problems_of(text)[0].startswith("line 5: ")


def test_a_mart_knows_what_it_reads() -> None:
    mart = read_mart(
        "m",
        "WITH late AS (SELECT origin FROM `curated`.`flights` WHERE dep_delay > 15)\n"
        "SELECT l.origin, w.temp, r.region FROM late AS l\n"
        "JOIN `curated.weather` AS w ON w.origin = l.origin\n"
        "JOIN marts.regions AS r ON r.faa = l.origin\n"
        "WHERE EXISTS (SELECT 1 FROM curated.airports AS a WHERE a.faa = l.origin)",
    )
    assert mart.datasets == {"flights", "weather", "airports"}
    assert mart.marts == {"regions"}
    assert mart.sources == (
        "curated.airports",
        "curated.flights",
        "curated.weather",
        "marts.regions",
    )


@pytest.mark.parametrize(
    ("sql", "column", "sources", "transformation"),
    [
        ("SELECT x FROM curated.a", "x", {("curated.a", "x")}, "IDENTITY"),
        ("SELECT x AS y FROM curated.a", "y", {("curated.a", "x")}, "IDENTITY"),
        ("SELECT (x) AS y FROM curated.a", "y", {("curated.a", "x")}, "IDENTITY"),
        ("SELECT a.X FROM curated.a", "X", {("curated.a", "X")}, "IDENTITY"),
        ("SELECT 1 AS one FROM curated.a", "one", set(), "TRANSFORMATION"),
        ("SELECT COUNT(*) AS n FROM curated.a", "n", set(), "AGGREGATION"),
        ("SELECT SUM(x) AS s FROM curated.a", "s", {("curated.a", "x")}, "AGGREGATION"),
        (
            "SELECT IF(x > 0, y, 0) AS z FROM curated.a",
            "z",
            {("curated.a", "x"), ("curated.a", "y")},
            "TRANSFORMATION",
        ),
        (
            "SELECT DATE(t) AS day, COUNT(*) AS n FROM curated.a "
            "GROUP BY day HAVING n > 2 ORDER BY n",
            "day",
            {("curated.a", "t")},
            "TRANSFORMATION",
        ),
        (
            "WITH c AS (SELECT k, MAX(v) AS top FROM curated.a GROUP BY k) "
            "SELECT top - 1 AS below FROM c",
            "below",
            {("curated.a", "v")},
            "AGGREGATION",
        ),
        (
            "WITH c AS (SELECT x, y FROM curated.a) SELECT * FROM c",
            "y",
            {("curated.a", "y")},
            "IDENTITY",
        ),
        (
            "SELECT s.x FROM (SELECT x FROM curated.a) AS s",
            "x",
            {("curated.a", "x")},
            "IDENTITY",
        ),
        (
            "SELECT id, a.x FROM curated.a JOIN curated.b USING (id)",
            "id",
            {("curated.a", "id"), ("curated.b", "id")},
            "TRANSFORMATION",
        ),
        (
            "SELECT l.x, r.y FROM curated.a AS l JOIN curated.a AS r ON l.id = r.id",
            "y",
            {("curated.a", "y")},
            "IDENTITY",
        ),
        (
            "SELECT x FROM curated.a UNION ALL SELECT y FROM curated.b",
            "x",
            {("curated.a", "x"), ("curated.b", "y")},
            "IDENTITY",
        ),
        (
            "SELECT a.x, (SELECT MAX(b.v) FROM curated.b WHERE b.id = a.id) AS top FROM curated.a",
            "top",
            {("curated.b", "v")},
            "AGGREGATION",
        ),
        (
            "SELECT k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY t) AS n FROM curated.a "
            "QUALIFY n = 1",
            "n",
            {("curated.a", "k"), ("curated.a", "t")},
            "TRANSFORMATION",
        ),
        (
            "SELECT a.id, u AS part FROM curated.a AS a, UNNEST(SPLIT(a.s, ',')) AS u",
            "part",
            {("curated.a", "s")},
            "TRANSFORMATION",
        ),
        (
            "SELECT JSON_VALUE(payload, '$.a') AS a FROM curated.e",
            "a",
            {("curated.e", "payload")},
            "TRANSFORMATION",
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 AS n FROM r WHERE n < 5) "
            "SELECT n FROM r",
            "n",
            set(),
            "TRANSFORMATION",
        ),
    ],
)
def test_column_lineage(
    sql: str, column: str, sources: set[tuple[str, str]], transformation: str
) -> None:
    mart = read_mart("m", sql)
    assert column in mart.columns
    assert mart.lineage[column] == sources
    assert mart.transformations[column] == transformation


@pytest.mark.parametrize(
    ("expression", "counts"),
    [
        ("COUNT(x)", True),
        ("COUNT(DISTINCT UPPER(x))", True),
        ("COUNTIF(x > 1) / COUNT(x)", True),
        ("x", False),
        ("COUNT(x) + MAX(x)", False),
        ("MIN(x)", False),
        ("STRING_AGG(x)", False),
        ("SUM(x)", False),
        ("IF(COUNT(x) > 1, 'many', MIN(x))", False),
        ("ANY_VALUE(x)", False),
    ],
)
def test_what_only_counts_shows_no_value(expression: str, counts: bool) -> None:
    """A sum of one value is that value."""
    direct = read_mart("m", f"SELECT {expression} AS a FROM curated.t")
    nested = f"WITH c AS (SELECT {expression} AS b FROM curated.t) SELECT b + 1 AS a FROM c"
    expected = {"a"} if counts else set()
    assert direct.counts == read_mart("m", nested).counts == expected


def test_columns_stand_in_the_order_of_the_select() -> None:
    mart = read_mart("m", "SELECT z, y AS b, COUNT(*) AS a FROM curated.t GROUP BY z, y")
    assert mart.columns == ("z", "b", "a")
    assert tuple(mart.lineage) == tuple(mart.transformations) == mart.columns


def test_the_hash_is_of_what_a_build_does() -> None:
    view = read_mart("m", "-- description: one\nSELECT 1 AS x")
    described = read_mart("m", "-- description: two\n-- materialize: view\nSELECT 1 AS x")
    table = read_mart("m", "-- materialize: table\nSELECT 1 AS x")
    other = read_mart("m", "SELECT 2 AS x")
    assert view.sha256 == described.sha256
    assert len({view.sha256, table.sha256, other.sha256}) == 3


# --- Order ---------------------------------------------------------------------------------------


def mart_of(name: str, *sources: str, table: bool = True) -> Mart:
    first, *others = sources or ("curated.none",)
    joins = "".join(f" JOIN {other} AS t{n} ON s.id = t{n}.id" for n, other in enumerate(others))
    head = "-- materialize: table\n" if table else ""
    return read_mart(name, f"{head}SELECT s.id FROM {first} AS s{joins}")


def test_a_mart_follows_those_it_reads() -> None:
    marts = [
        mart_of("a", "marts.z"),
        mart_of("b", "curated.x"),
        mart_of("m", "marts.a", "marts.b"),
        mart_of("z", "curated.x"),
    ]
    ordered = [mart.name for mart in order_marts(marts)]
    assert ordered == ["b", "z", "a", "m"]
    assert ordered == [mart.name for mart in order_marts(reversed(marts))]


@pytest.mark.parametrize(
    ("marts", "source", "problem"),
    [
        (
            [mart_of("a", "marts.b"), mart_of("b", "marts.c"), mart_of("c", "marts.a")],
            "marts/a.sql",
            "marts read each other in a circle: ",
        ),
        ([mart_of("a", "marts.a")], "marts/a.sql", "marts read each other in a circle: a → a"),
        (
            [mart_of("a", "marts.gone")],
            "marts/a.sql",
            "it reads marts.gone, and there is no marts/gone.sql",
        ),
        (
            [mart_of("a", "curated.x"), mart_of("a", "curated.y")],
            "marts/a.sql",
            "there is more than one mart of this name",
        ),
    ],
)
def test_marts_without_an_order_are_refused(marts: list[Mart], source: str, problem: str) -> None:
    with pytest.raises(ContractInvalid) as caught:
        order_marts(marts)
    assert caught.value.source == source
    assert str(caught.value).startswith(f"{source}: {problem}")


def test_a_circle_is_told_in_the_order_of_reading() -> None:
    marts = [mart_of("a", "marts.b"), mart_of("b", "marts.c"), mart_of("c", "marts.a")]
    with pytest.raises(
        ContractInvalid, match=r"circle: (a → b → c → a|b → c → a → b|c → a → b → c)"
    ):
        order_marts(marts)


def test_affected_marts_are_all_that_a_dataset_reaches_in_build_order() -> None:
    marts = [
        mart_of("top", "marts.middle"),
        mart_of("middle", "marts.base", "curated.other"),
        mart_of("base", "curated.flights"),
        mart_of("apart", "curated.other"),
    ]
    assert [m.name for m in affected_marts(marts, "flights")] == ["base", "middle", "top"]
    assert [m.name for m in affected_marts(marts, "other")] == ["apart", "middle", "top"]
    assert affected_marts(marts, "unknown") == []
