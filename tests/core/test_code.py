"""The hash by which code is known."""

from pathlib import Path

from core.code import code_hash


def test_the_code_hash_follows_names_and_contents_and_leaves_out_what_is_named(
    tmp_path: Path,
) -> None:
    """Catches: changed code that keeps its old results."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("x = 1")
    (tmp_path / "inner" / "b.py").write_text("y = 1")
    whole, part = code_hash([tmp_path]), code_hash([tmp_path], leave_out=[tmp_path / "inner"])
    (tmp_path / "inner" / "b.py").write_text("y = 2")
    assert code_hash([tmp_path]) != whole
    assert code_hash([tmp_path], leave_out=[tmp_path / "inner"]) == part
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert code_hash([tmp_path], leave_out=[tmp_path / "inner"]) != part
