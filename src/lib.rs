//! A blocking, embedded session store.
