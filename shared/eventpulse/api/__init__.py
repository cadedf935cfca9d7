"""The operators' API: everything that people, the command line and the dashboard ask or decide.

`routes.py` holds the table of endpoints; `server.py` answers a request with the one that fits;
`openapi.py` describes the same table. Handlers are grouped by what they are about.
"""
