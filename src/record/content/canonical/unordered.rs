//! Owns the list of types without an order, whose elements may be decoded in another order.
//!
//! A type is known by the beginning of its path, since a type of the program's own can have any
//! name. Every other type without an order shows it when its bytes are decoded again.

/// The beginnings of the paths of such types and of their iterators.
const PATHS: [&str; 12] = [
    "std::collections::hash::",
    "hashbrown::",
    "ahash::hash_",
    "dashmap::",
    "scc::hash_",
    "bimap::hash::",
    "hashbag::",
    "im::hash::",
    "im_rc::hash::",
    "imbl::hash::",
    "rpds::map::hash_trie_map::",
    "rpds::set::hash_trie_set::",
];

/// Wrappers that serialize as their content does, and the beginnings of their paths.
const WRAPPERS: [(&str, &[&str]); 4] = [
    ("alloc::", &["Arc", "Box", "Cow", "Rc"]),
    ("core::cell::", &["Cell", "RefCell"]),
    ("std::sync::", &["Mutex", "RwLock"]),
    ("sessile::session::json::", &["AsText"]),
];

/// Adapters of iterators that give each element once, changed or left out, in its order.
const ADAPTERS: &str = "core::iter::adapters::";
const ONE_BY_ONE: [&str; 6] = ["Cloned", "Copied", "Filter", "FilterMap", "Inspect", "Map"];

/// Whether a type, by its name from `std::any::type_name`, is a collection without an order, or an
/// iterator over one.
///
/// For an adapter (`set.iter().map(..)`), the underlying iterator decides, and for a wrapper what
/// it holds. Generic parameters of other types and references do not count.
pub(super) fn is_unordered(type_name: &str) -> bool {
    let referent = type_name.trim_start_matches("'_, ");
    let referent = referent.trim_start_matches('&').trim_start_matches("mut ");
    // A slice, an array and a tuple have an order, whatever is in them.
    if referent.starts_with(['[', '(']) {
        return false;
    }
    let (path, parameters) = referent.split_once('<').unwrap_or((referent, ""));
    let name = path.rsplit("::").next().unwrap_or_default();
    let is_adapter = path.starts_with(ADAPTERS) && ONE_BY_ONE.contains(&name);
    let is_wrapper = |(at, names): &(&str, &[&str])| path.starts_with(at) && names.contains(&name);
    if is_adapter || WRAPPERS.iter().any(is_wrapper) {
        return is_unordered(parameters);
    }
    PATHS.iter().any(|at| path.starts_with(at))
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
        assert!(is_unordered("im::hash::set::HashSet<u8>"));
        assert!(is_unordered("rpds::map::hash_trie_map::HashTrieMap<u8, u8>"));
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

    #[test]
    fn a_type_of_the_programs_own_has_an_order_whatever_its_name() {
        struct LruHashMap;
        struct Cell<T>(T);
        assert!(!is_unordered(type_name::<LruHashMap>()));
        assert!(!is_unordered(type_name::<Option<LruHashMap>>()));
        assert!(!is_unordered(type_name::<Cell<HashMap<u8, u8>>>()));
        assert!(!is_unordered("shop::dashmap::Trail"));
        assert!(!is_unordered("shop::std::collections::hash::Trail"));
    }

    #[test]
    fn an_adapter_that_adds_elements_of_its_own_has_an_order() {
        let (set, list) = (HashSet::from([1]), [2, 3]);
        assert!(is_unordered(name_of(set.iter().copied().inspect(|_| ()))));
        assert!(!is_unordered(name_of(set.iter().chain(list.iter()))));
        assert!(!is_unordered(name_of(set.iter().flat_map(|one| [*one, 1]))));
        assert!(!is_unordered(name_of([&set].into_iter().flatten())));
        assert!(!is_unordered(name_of(set.iter().zip(list.iter()))));
    }
}
