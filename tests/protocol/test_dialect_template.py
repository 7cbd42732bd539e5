"""Templates: what they write they recognise, by value and by type."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartbeat_trio.protocol.dialect_template import Template, bind, explain_template

LEAVES = st.sampled_from(["$id", "$any", '"$symbol"', '"a.$symbol-$code"', "1", "1.5", "true", "null", '"x"', "{}", "[]"])
TEMPLATES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | st.dictionaries(st.sampled_from(["a", "b", "c d"]), inner, min_size=1, max_size=3).map(
            lambda each: "{" + ",".join(f'"{key}":{value}' for key, value in each.items()) + "}"
        )
    ),
    max_leaves=6,
).filter(lambda text: text[0] in "[{" and text.count('"$symbol"') + text.count("$symbol-") < 2)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)


@given(TEMPLATES, SCALARS)
def test_what_it_writes_it_recognises(text: str, value: object) -> None:
    """Whatever stands for the placeholders, and with other fields around it; captured tokens come back as they were."""
    template = Template(text)
    token = json.dumps(value).encode()
    data = template.render({"id": token, "any": b"[1]", "symbol": b'"BTC"', "code": b'"7"'})
    captured = template.match(json.loads(data))

    assert captured is not None
    for name in template.captures:
        assert token == template.raw(data, name)
        assert value == captured[name]
    if text.startswith("{"):
        assert template.match(json.loads(data) | {"more": 1}) is not None


@pytest.mark.parametrize(
    ("text", "same", "others"),
    [
        ('{"a":1}', {"a": 1, "b": 2}, [{"a": 1.0}, {"a": True}, {"a": "1"}, {"b": 1}, [1], 1, None]),
        ('{"a":true}', {"a": True}, [{"a": 1}]),
        ('{"a":null}', {"a": None}, [{}, {"a": 0}]),
        ('{"a":{}}', {"a": {"b": 1}}, [{"a": []}, {"a": None}]),
        ('{"a":[]}', {"a": [1]}, [{"a": {}}]),
        ('[$any,"hb"]', [1, "hb", 2], [[1], ["hb"], {"0": 1, "1": "hb"}, [1, "HB"]]),
        ('{"a":$id}', {"a": {}}, [{}]),
        ('{"a":$code}', {"a": "x"}, [{"a": {}}, {"a": [1]}]),
        ('{"a":"x.$symbol"}', {"a": "x.BTC"}, [{"a": "x."}, {"a": "yx.BTC"}, {"a": 1}, {"a": "x." + "B" * 65}]),
        ('{"a":"x.$any.z"}', {"a": "x..z"}, [{"a": "x.z"}]),
        ('"$symbol"', "BTC", [1, {}, ""]),
    ],
)
def test_what_matches(text: str, same: object, others: list[object]) -> None:
    """Literals by value and type, structures by their type, texts in texts."""
    template = Template(text)

    assert template.match(same) is not None
    assert [] == [other for other in others if template.match(other) is not None]


def test_items() -> None:
    """An array of what the item template writes: written, recognised whole, and by its elements."""
    template = Template('{"args":[$items],"id":$id}', '{"channel":"t","inst":"$symbol"}')
    items = [{"symbol": b'"A"'}, {"symbol": b'"B"'}]

    data = template.render({"id": b"1"}, items)
    assert b'{"args":[{"channel":"t","inst":"A"},{"channel":"t","inst":"B"}],"id":1}' == data
    assert {"id": 1, "items": [{"symbol": "A"}, {"symbol": "B"}]} == template.match(json.loads(data))
    wrong: list[object] = [[], [{"channel": "t", "inst": 1}], ["A"], {}, None]
    for args in wrong:
        assert template.match({"args": args, "id": 1}) is None
    assert Template('{"args":[$items]}').match({"args": []}) is None


def test_bare_texts_and_repr() -> None:
    """What is no JSON is a token; placeholders in it are texts without quotes."""
    assert Template("ping").is_bare
    assert b"SUB A 1" == Template("SUB $symbol $id").render({"symbol": b'"A"', "id": b"1"})
    assert {"symbol": "A", "id": "1"} == Template("SUB $symbol $id").match("SUB A 1")
    assert b'"A"' == Template("SUB $symbol $id").raw(b"SUB A 1", "symbol")
    assert ("id", "symbol") == Template("SUB $symbol $id $any").captures
    assert Template("SUB $symbol").match("SUBA") is None
    assert Template("ping").match("ping") == {}
    assert Template("ping").match({"ping": 1}) is None
    assert Template('"a"').match("a") == {}
    assert "ping" in repr(Template("ping"))


def test_a_name_ends_before_an_underscore_that_begins_another() -> None:
    """``$channel_$symbol`` are two."""
    assert {"channel", "symbol"} == Template('{"a":"$channel_$symbol"}').names
    assert {"unix_ms"} == Template('{"a":$unix_ms}').names


def test_binding_known_values() -> None:
    """What is known beforehand is put in, so that the rest can be told apart."""
    bound = bind('{"a":"$channel_$symbol","b":$n,"c":$id}', {"channel": b'"live_trades"', "n": b"3"})

    assert '{"a":"live_trades_$symbol","b":3,"c":$id}' == bound
    assert {"symbol": "btc_usd", "id": 1} == Template(bound).match({"a": "live_trades_btc_usd", "b": 3, "c": 1})


def test_too_long_to_echo_and_no_json() -> None:
    """Both are said in words."""
    with pytest.raises(ValueError, match="at most 256 bytes"):
        Template('{"a":$code}').raw(b'{"a":"%s"}' % (b"x" * 300), "code")
    assert explain_template('{"a":') is not None
    assert explain_template('{"a":"$symbol $symbol"}') is not None
    assert explain_template("ping") is None
