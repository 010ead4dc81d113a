//! JSON as the protocol has it, whatever it stands for: no `null`, no key twice in an object, no
//! number but integers up to 2^53 - 1 (rule R22).
//!
//! `serde` alone takes `null` for an optional field, keeps the last of two equal keys of a map, and
//! reads integers that JavaScript rounds. Two readers would then understand one text differently. So
//! each text is looked through as a whole before it becomes a value: no field can be forgotten.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::limits::INTEGER_MAX;

/// Reads a value from JSON of this form.
pub(crate) fn from_slice<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<Form>(json)?;
    serde_json::from_slice(json)
}

/// Any value of this form; nothing of it is kept.
struct Form;

impl<'de> de::Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FormVisitor)
    }
}

struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a list, an object, true, false or an integer below 2^53")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Form, E> {
        Ok(Form)
    }

    fn visit_str<E>(self, _: &str) -> Result<Form, E> {
        Ok(Form)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Form, E> {
        if value <= INTEGER_MAX {
            return Ok(Form);
        }
        Err(E::custom("an integer is above 2^53 - 1"))
    }

    /// Below zero: exit statuses of commands alone; the types of other fields refuse a sign.
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Form, E> {
        self.visit_u64(value.unsigned_abs())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Form, A::Error> {
        while list.next_element::<Form>()?.is_some() {}
        Ok(Form)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Form, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = object.next_key::<String>()? {
            object.next_value::<Form>()?;
            if !keys.insert(key) {
                return Err(de::Error::custom("a key is there twice"));
            }
        }
        Ok(Form)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn maps_hold_each_key_once() {
        let read = |json: &str| from_slice::<BTreeMap<String, u64>>(json.as_bytes());
        assert_eq!(read(r#"{"a":1,"b":2}"#).unwrap().len(), 2);
        for twice in [r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2,"\u0061":3}"#] {
            assert!(read(twice).unwrap_err().to_string().contains("twice"), "{twice}");
        }
        let nested = r#"{"a":{"b":[{"c":1,"c":2}]}}"#;
        assert!(from_slice::<de::IgnoredAny>(nested.as_bytes()).is_err());
    }

    #[test]
    fn nothing_is_null() {
        assert_eq!(from_slice::<Option<u8>>(b"1").unwrap(), Some(1));
        assert!(from_slice::<Option<u8>>(b"null").is_err());
        assert!(from_slice::<Vec<Option<u8>>>(b"[1,null]").is_err());
    }

    #[test]
    fn integers_are_those_that_every_reader_understands_alike() {
        assert_eq!(from_slice::<u64>(b"9007199254740991").unwrap(), INTEGER_MAX);
        assert_eq!(from_slice::<i32>(b"-1").unwrap(), -1);
        for bad in ["9007199254740992", "18446744073709551616", "-9007199254740992", "-0"] {
            assert!(from_slice::<de::IgnoredAny>(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["1.0", "1e2", "0.5"] {
            assert!(from_slice::<f64>(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
