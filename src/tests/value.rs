//! Documents of any shape: through JSON, through a store, through binary formats, and changed a little.

use std::sync::Arc;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use crate::footprint::{footprint, resident_bytes};
use crate::storage::MemoryStorage;
use crate::store::{Error, Options, Store, VerifyOptions};
use crate::value::Number;
use crate::{HashMap, OrdMap, Value, Vector};

fn store() -> Store {
    Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap()
}

/// Any document, with these floats.
fn documents(floats: impl Strategy<Value = f64> + 'static) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<u64>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        floats.prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 60, 10, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..10).prop_map(serde_json::Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..10)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Floats that serde_json reads to the last bit, which it does for any only with its feature `float_roundtrip`.
fn short_floats() -> impl Strategy<Value = f64> {
    any::<i32>().prop_map(|number| f64::from(number) / 8.0)
}

fn any_floats() -> impl Strategy<Value = f64> {
    any::<f64>().prop_filter("JSON has no others", |number| number.is_finite())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_document_comes_back_from_a_store_and_from_a_binary_format(json in documents(any_floats())) {
        let text = serde_json::to_string(&json).unwrap();
        let value: Value = serde_json::from_value(json.clone()).unwrap();
        prop_assert_eq!(&serde_json::to_string(&value).unwrap(), &text);
        prop_assert_eq!(&serde_json::to_value(&value).unwrap(), &json);
        let store = store();
        store.checkpoint(&value).unwrap();
        let restored: Value = store.latest().unwrap().unwrap();
        prop_assert_eq!(&serde_json::to_string(&restored).unwrap(), &text);
        prop_assert_eq!(&restored, &value);
        prop_assert!(store.verify_with(VerifyOptions::new().states::<Value>()).unwrap().is_clean());
        let bytes = postcard::to_allocvec(&value).unwrap();
        prop_assert_eq!(&postcard::from_bytes::<Value>(&bytes).unwrap(), &value);
    }

    #[test]
    fn a_document_comes_back_from_json(json in documents(short_floats())) {
        let text = serde_json::to_string(&json).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&serde_json::to_value(&value).unwrap(), &json);
        // What is displayed is JSON, on one line or on many.
        for shown in [value.to_string(), format!("{value:#}")] {
            prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&shown).unwrap(), &json);
        }
    }
}

#[test]
fn every_number_is_exact_or_an_error() {
    let numbers = [
        Number::from(u64::MAX),
        Number::from(i64::MIN),
        Number::from(-1i8),
        Number::from(-0.0f64),
        Number::from(f64::MAX),
        Number::from(f64::NAN),
        Number::from(f64::INFINITY),
        Number::from(0.1f32),
    ];
    let value = Value::from_iter(numbers);
    let store = store();
    store.checkpoint(&value).unwrap();
    let restored: Value = store.latest().unwrap().unwrap();
    for (i, number) in numbers.iter().enumerate() {
        let found = restored[i].as_number().unwrap();
        assert_eq!((found.as_u64(), found.as_i64()), (number.as_u64(), number.as_i64()));
        assert_eq!(found.as_f64().to_bits(), number.as_f64().to_bits(), "{number}");
        // JSON takes it exactly, or says that it cannot.
        match serde_json::to_string(&restored[i]) {
            Ok(text) => {
                let back: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(back.as_f64().unwrap().to_bits(), number.as_f64().to_bits(), "{text}");
                assert_eq!(back, restored[i]);
            }
            Err(error) => assert!(!number.is_finite() && error.to_string().contains("replace it"), "{error}"),
        }
    }
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read("18446744073709551615"), u64::MAX);
    assert_eq!(read("-9223372036854775808"), i64::MIN);
    assert_eq!(read("18446744073709551616"), 18446744073709551616.0);
    assert!(read("-0").as_f64().unwrap().is_sign_negative());
    assert_ne!(read("1"), read("1.0"));
    // As serde_json passes it on where some crate asked for arbitrary precision.
    assert_eq!(read(r#"{"$serde_json::private::Number": "18446744073709551615"}"#), u64::MAX);
    assert!(serde_json::from_str::<Value>(r#"{"$serde_json::private::Number": "x"}"#).is_err());
    let large: Result<Value, serde::de::value::Error> =
        Deserialize::deserialize(serde::de::value::U128Deserializer::new(1 << 64));
    assert!(large.unwrap_err().to_string().contains("store it as a string"));
}

#[test]
fn a_document_as_deep_as_json_may_be_is_stored_and_a_deeper_one_refused() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = |levels: usize| format!("{}7{}", open.repeat(levels), close.repeat(levels));
        let value: Value = serde_json::from_str(&deep(127)).unwrap();
        assert!(serde_json::from_str::<Value>(&deep(128)).is_err());
        let store = store();
        store.checkpoint(&value).unwrap();
        let restored: Value = store.latest().unwrap().unwrap();
        assert_eq!(serde_json::to_string(&restored).unwrap(), deep(127));
        assert!(store.verify_with(VerifyOptions::new().states::<Value>()).unwrap().is_clean());
        let deeper = (0..200).fold(value, |inner, _| Value::from([inner]));
        let refused = store.checkpoint(&deeper);
        assert!(matches!(refused, Err(Error::Encode { .. })), "{refused:?}");
    }
}

/// A document of 20,000 records, some 2 MB.
fn large() -> Value {
    let record = |n: u64| {
        let name = format!("record {n}");
        Value::from_iter([("id", Value::from(n)), ("name", name.into()), ("tags", [1, 2, 3].into())])
    };
    Value::from_iter([("records", Value::from_iter((0..20_000).map(record))), ("version", 1.into())])
}

#[test]
fn a_change_of_a_large_document_writes_what_changed_and_a_restore_loads_what_is_looked_at() {
    let store = store();
    let mut value = large();
    let full = store.checkpoint(&value).unwrap();
    let before = value.clone();
    value["records"][9_999]["name"] = "renamed".into();
    *value.pointer_mut("/version").unwrap() = 2.into();
    let changed = store.checkpoint(&value).unwrap();
    assert!(changed.bytes < 2_000 && full.bytes > 100 * changed.bytes, "{} of {}", changed.bytes, full.bytes);
    assert_eq!(before["records"][9_999]["name"], "record 9999");
    let mut restored: Value = store.latest().unwrap().unwrap();
    assert_eq!(resident_bytes(&restored), 0, "nothing is loaded yet");
    assert_eq!(restored["records"][9_999]["name"], "renamed");
    let few = resident_bytes(&restored);
    assert!(few > 0 && few < 100_000, "{few}");
    // Changed after the restore, a restored document writes as little.
    restored["records"].push(Value::Null);
    assert!(store.checkpoint(&restored).unwrap().bytes < 2_000);
    assert!(store.evict(&mut restored, 0).unwrap().nodes > 0);
    assert_eq!(restored["records"][20_000], Value::Null);
}

#[test]
fn a_footprint_counts_what_is_nested_once() {
    let value = large();
    let all = resident_bytes(&value);
    assert!(all > 20_000 * 100, "{all}: the records lie in collections of the collection");
    let mut changed = value.clone();
    changed["records"][7]["name"] = "renamed".into();
    let both = footprint(&[&value, &changed]);
    assert!(both.shared_bytes > 50 * both.unique_bytes[1], "{both:?}");
    assert_eq!(both.total_bytes, both.shared_bytes + both.unique_bytes.iter().sum::<u64>());
}

#[test]
fn a_value_may_stand_anywhere_in_a_state() {
    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Agent {
        memory: Value,
        tools: HashMap<String, Value>,
        log: Vector<(u32, Value)>,
        last: Option<Value>,
    }
    let agent = Agent {
        memory: Value::from_iter([("facts", vec!["a", "b"])]),
        tools: HashMap::from([("search".to_owned(), Value::from_iter([("limit", 10)]))]),
        log: Vector::from([(1, Value::Null), (2, Value::from("x"))]),
        last: Some(true.into()),
    };
    let store = store();
    store.checkpoint(&agent).unwrap();
    assert_eq!(store.latest::<Agent>().unwrap().unwrap(), agent);
    let text = serde_json::to_string(&agent).unwrap();
    assert_eq!(serde_json::from_str::<Agent>(&text).unwrap(), agent);
    assert!(text.contains(r#""memory":{"facts":["a","b"]}"#), "{text}");
}

#[test]
fn what_is_not_there_is_null_and_what_is_assigned_is_made() {
    let mut value = Value::default();
    assert!(value["a"][0]["b"].is_null() && value.get("a").is_none());
    value["a"]["b"] = 1.into();
    value["list"].push("x");
    assert_eq!(value.to_string(), r#"{"a":{"b":1},"list":["x"]}"#);
    assert_eq!(value["list"].take(), Value::from(["x"]));
    assert!(value["list"].is_null());
    value.as_object_mut().unwrap().entry("n".to_owned()).or_insert(2.into());
    assert_eq!((value["n"].as_i64(), value[String::from("n")].as_f64()), (Some(2), Some(2.0)));
    assert!(value == value.clone() && value["a"]["b"] == 1u8 && 1i64 == value["a"]["b"] && value["n"] != 2.0);
    assert!(value["n"] != "2" && value["none"] != true);
    let (text, yes) = (Value::from("2"), Value::from(true));
    assert!(text.eq("2") && "2".eq(&text) && text.eq(&String::from("2")) && yes.eq(&true) && yes.ne("true"));
    for pointer in ["/a/b", "/n", ""] {
        assert!(value.pointer(pointer).is_some() && value.pointer_mut(pointer).is_some());
    }
    for pointer in ["a", "/a/c", "/n/0", "/", "/a/b/c"] {
        assert!(value.pointer(pointer).is_none() && value.pointer_mut(pointer).is_none(), "{pointer}");
    }
    let list = Value::from([10, 11]);
    assert_eq!((list.pointer("/1"), list.pointer("/01"), list.pointer("/+1")), (Some(&list[1]), None, None));
    let panics = |change: fn(&mut Value)| {
        let mut value = Value::from([1]);
        std::panic::catch_unwind(move || change(&mut value)).is_err()
    };
    assert!(panics(|value| value[7] = Value::Null) && panics(|value| value["a"] = Value::Null));
    assert!(panics(|value| drop(value.insert("a", 1))) && panics(|value| value[0].push(1)));
    assert_eq!(Value::from(None::<u8>), Value::Null);
    assert_eq!(Value::from(OrdMap::from([("k".to_owned(), Value::Null)])).as_object().unwrap().len(), 1);
}

#[test]
fn what_equals_hashes_alike_and_of_fields_of_one_name_the_last_counts() {
    use std::hash::{BuildHasher, RandomState};
    let state = RandomState::new();
    let (one, other) = (Value::from([0.0, f64::NAN]), Value::from([-0.0, -f64::NAN]));
    assert_eq!(one, other);
    assert_eq!(state.hash_one(&one), state.hash_one(&other));
    let value: Value = serde_json::from_str(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap();
    assert_eq!(value.to_string(), r#"{"a":2,"b":3}"#);
}

#[test]
fn the_shape_of_a_value_is_part_of_the_format() {
    let shape = crate::schema::shape_of::<Value>().unwrap().to_text();
    assert_eq!(
        shape,
        "shape 2\nValue\nenum Value { Null, Bool(bool), Unsigned(u64), Negative(i64), Float(f64), String(str), \
         Array(Vector<Value>), Object(OrdMap<str, Value>) }\n"
    );
}
