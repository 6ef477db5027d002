//! The law of RESTORE: a payload of any bytes is refused or becomes a value within the bound that was told before it was logged, and
//! that value's own payload restores to the same.
//!
//! Included by the unit tests of RDB values and by the fuzz target, which bring the names into scope.

use super::{TypeLimits, Value, ValueRef, bound, dump, load};

/// Bytes that a value takes whatever is in it.
const VALUE_BYTES: u64 = 4096;

/// `input` is what DUMP answers without its footer, which a fuzzer would never get right.
pub fn check(input: &[u8]) {
    let payload = [input, &super::footer(input)].concat();
    let most = bound(&payload);
    let limits = TypeLimits::default();
    let Ok(value) = load(&payload, &limits) else { return };
    let (elements, bytes) = size(&value);
    assert!(
        elements <= most.elements.max(1),
        "{elements} elements, and at most {} were foreseen",
        most.elements
    );
    let foreseen = most.bytes + VALUE_BYTES;
    assert!(bytes <= foreseen, "{bytes} bytes, and at most {foreseen} were foreseen");
    let dumped = dump(value_ref(&value));
    let again = load(&dumped, &limits).expect("what DUMP answers can be restored");
    assert!(dump(value_ref(&again)) == dumped, "a value that was restored is dumped as another");
}

fn value_ref(value: &Value) -> ValueRef<'_> {
    match value {
        Value::String(text) => ValueRef::String(text),
        Value::Object(object) => ValueRef::Object(object),
    }
}

fn size(value: &Value) -> (u64, u64) {
    match value {
        Value::String(text) => (1, text.len() as u64),
        Value::Object(object) => (object.len() as u64, object.memory_bytes() as u64),
    }
}
