//! Owns the names that serde_json keeps for itself.
//!
//! With its features `raw_value` and `arbitrary_precision`, serde_json takes a struct or an object
//! with such a name for a raw JSON text or a number. Any crate of the program can turn them on.

/// With `arbitrary_precision`, a number is a map with this only key.
pub(super) const NUMBER: &str = "$serde_json::private::Number";

pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("$serde_json::private::")
}

/// Whether serde_json has its feature `arbitrary_precision` in this program.
pub(super) fn numbers_are_maps() -> bool {
    let map = r#"{"$serde_json::private::Number":"0"}"#;
    serde_json::from_str::<serde_json::Value>(map).is_ok_and(|value| value.is_number())
}

/// The reason to refuse such a name of the program.
pub(super) const REFUSAL: &str = "it has a name that begins with `$serde_json::private::`, which serde_json keeps for itself; use \
     another name";
