import sys
import types


def test_pending(monkeypatch):
    import jobline

    db = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "jobline.db", db)
    monkeypatch.setattr(jobline, "db", db, raising=False)
    from jobline.migrate import pending

    assert pending(["2.sql", "1.sql", "README", "0.sql"], {"0.sql"}) == ["1.sql", "2.sql"]
