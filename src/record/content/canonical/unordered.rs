//! Owns the list of types without an order, whose elements may be decoded in another order.

/// Parts of the names of such types. Every other type keeps its order, or is refused.
const NAMES: [&str; 6] = ["HashSet", "HashMap", "HashTrie", "HashBag", "DashSet", "DashMap"];

/// Parts of the names of types that keep the order of insertion or of their keys all the same.
const ORDERED: [&str; 4] = ["Linked", "Ordered", "Indexed", "Sorted"];

/// Parts of the paths of their iterators.
const PATHS: [&str; 4] = ["std::collections::hash::", "hashbrown::", "dashmap::", "bimap::hash::"];

/// Wrappers that serialize as their content does.
const WRAPPERS: [&str; 9] =
    ["Arc", "AsText", "Box", "Cell", "Cow", "Mutex", "Rc", "RefCell", "RwLock"];

/// Whether a type, by its name from `std::any::type_name`, is a collection without an order, or an
/// iterator over one.
///
/// For an adapter (`set.iter().map(..)`), the underlying iterator decides, and for a wrapper what
/// it holds. Generic parameters of other types and references do not count.
pub(super) fn is_unordered(type_name: &str) -> bool {
    let referent = type_name.trim_start_matches('&').trim_start_matches("mut ");
    // A slice, an array and a tuple have an order, whatever is in them.
    if referent.starts_with(['[', '(']) {
        return false;
    }
    let (path, parameters) = referent.split_once('<').unwrap_or((referent, ""));
    if path.starts_with("core::iter::") {
        return is_unordered(parameters);
    }
    let name = path.rsplit("::").next().unwrap_or_default();
    if WRAPPERS.contains(&name) {
        return is_unordered(parameters);
    }
    let has_order = ORDERED.iter().any(|part| name.contains(part));
    let is_hashed = NAMES.iter().any(|part| name.contains(part));
    is_hashed && !has_order || PATHS.iter().any(|part| path.contains(part))
}

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
    use std::sync::{Arc, Mutex};

    use super::*;

    fn name_of<T>(_: T) -> &'static str {
        type_name::<T>()
    }

    #[test]
    fn hashed_collections_have_no_order_and_others_have() {
        assert!(is_unordered(type_name::<HashSet<u8>>()));
        assert!(is_unordered(type_name::<&HashMap<String, Vec<u8>>>()));
        assert!(is_unordered("ahash::hash_set::AHashSet<u8>"));
        assert!(is_unordered("dashmap::DashMap<u8, alloc::vec::Vec<u8>>"));
        assert!(is_unordered(type_name::<Arc<Mutex<HashMap<u8, u8>>>>()));
        assert!(is_unordered(type_name::<Cow<'_, HashSet<u8>>>()));
        assert!(is_unordered("sessile::session::json::AsText<dashmap::DashMap<u8, u8>>"));
        assert!(!is_unordered(type_name::<Box<[HashSet<u8>]>>()));
        assert!(!is_unordered(type_name::<Arc<Vec<HashSet<u8>>>>()));
        assert!(is_unordered(name_of(HashSet::from([1]).iter())));
        let map = HashMap::from([(1, 2)]);
        assert!(is_unordered(name_of(map.values().filter(|_| true).map(|value| value + 1))));
        assert!(!is_unordered(name_of([HashSet::from([1])].iter().map(HashSet::len))));
        assert!(!is_unordered(type_name::<BTreeSet<u8>>()));
        assert!(!is_unordered(type_name::<BTreeMap<u8, HashSet<u8>>>()));
        assert!(!is_unordered(type_name::<Vec<HashSet<u8>>>()));
        assert!(!is_unordered(type_name::<[u8]>()));
        assert!(!is_unordered("hashlink::lru_cache::LruCache<u8, u8>"));
        assert!(!is_unordered("hashlink::linked_hash_set::LinkedHashSet<u8>"));
        assert!(!is_unordered("linked_hash_map::LinkedHashMap<u8, u8>"));
        assert!(!is_unordered("ordered_hash_map::OrderedHashMap<u8, u8>"));
    }
}
