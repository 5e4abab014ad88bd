//! The tests' servers, and store names on them that no other test uses.

use std::marker::PhantomData;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use sessile::Engine;
use sessile::testing::EngineFixture;

/// A kind of server.
pub(crate) trait Place: 'static {
    type Engine: Engine;
    /// The environment variable with the URL of a server of this kind.
    const VARIABLE: &'static str;
    /// The round trips of ending a user's other sessions.
    const OTHERS: u64 = 1;
    /// The number of callers whose connections may be cut at the same time.
    const CUT_AT_ONCE: usize = 4;
    /// How many sessions come and go in a test of many.
    const MANY_CHANGES: usize = 4_000;

    fn connect(url: &str) -> sessile::Result<Self::Engine>;

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>>;

    /// Removes a store's data from the server.
    fn clean_up(url: &str);

    /// All data of a store on the server, as the server's own client shows it.
    fn dump(url: &str) -> Vec<u8>;

    /// What a store has on the server, whether there is one or not.
    fn names(url: &str) -> Vec<u8> {
        Self::dump(url)
    }
}

pub(crate) fn url_of<P: Place>() -> String {
    let name = P::VARIABLE;
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set; `bash tests/servers/run` starts a server and sets it")
    })
}

/// A URL for a new store on the server of its kind.
pub(crate) fn fresh_url<P: Place>() -> String {
    fresh_on(&url_of::<P>())
}

/// A URL for a new store on a server.
fn fresh_on(server: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    with_parameter(server, &format!("name=test_{}_{number}", std::process::id()))
}

pub(crate) fn with_parameter(url: &str, parameter: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{parameter}")
}

/// The URL with time for a loaded machine, and for the stand-in, which is slow.
pub(crate) fn patient(url: &str) -> String {
    with_parameter(url, "timeout_ms=60000")
}

/// The same server behind a proxy at this address.
pub(crate) fn behind(url: &str, address: std::net::SocketAddr) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let credentials = authority.rsplit_once('@').map_or("", |(credentials, _)| credentials);
    let at = if credentials.is_empty() { "" } else { "@" };
    format!("{scheme}://{credentials}{at}{address}{rest}")
}

/// The host and the port of a URL.
pub(crate) fn address_of(url: &str) -> String {
    let (_, rest) = url.split_once("://").unwrap();
    let end = rest.find(['/', '?', ',']).unwrap_or(rest.len());
    let authority = &rest[..end];
    authority.rsplit_once('@').map_or(authority, |(_, host)| host).into()
}

/// The store's name in a URL of a test.
fn name_in(url: &str) -> &str {
    let (_, rest) = url.split_once("name=").unwrap();
    rest.split_once('&').map_or(rest, |(name, _)| name)
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
const TABLES: [&str; 4] = ["sessions", "users", "counts", "meta"];

/// The output of a command as bytes; it must succeed.
fn said(command: &mut Command) -> Vec<u8> {
    let done = command.stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A store on a server that exists for one test.
#[derive(Debug)]
pub(crate) struct On<P: Place> {
    pub(crate) url: String,
    place: PhantomData<fn() -> P>,
}

impl<P: Place> On<P> {
    /// A new store on a server that the test has started.
    #[cfg(feature = "tls")]
    pub(crate) fn server(url: &str) -> Self {
        Self { url: fresh_on(url), place: PhantomData }
    }
}

impl<P: Place> EngineFixture for On<P> {
    type Engine = P::Engine;

    fn new() -> Self {
        Self { url: fresh_url::<P>(), place: PhantomData }
    }

    fn open(&self) -> P::Engine {
        P::connect(&patient(&self.url)).unwrap()
    }

    fn stored_bytes(&self) -> Vec<u8> {
        P::dump(&self.url)
    }
}

impl<P: Place> Drop for On<P> {
    fn drop(&mut self) {
        P::clean_up(&patient(&self.url));
    }
}

/// The client of Redis itself on a server; it follows the redirections of a cluster.
#[cfg(feature = "redis")]
fn client_of(url: &str) -> Command {
    let address = address_of(url);
    let (host, port) = address.rsplit_once(':').unwrap();
    let mut client = Command::new("redis-cli");
    client.args(["-c", "-h", host, "-p", port]);
    client
}

#[cfg(feature = "redis")]
#[derive(Debug)]
pub(crate) struct Redis;

#[cfg(feature = "redis")]
impl Place for Redis {
    type Engine = sessile::engine::RedisEngine;
    const VARIABLE: &'static str = "SESSILE_TEST_REDIS_URL";

    fn connect(url: &str) -> sessile::Result<Self::Engine> {
        Self::Engine::connect(url)
    }

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>> {
        Self::Engine::connect_existing(url)
    }

    fn clean_up(url: &str) {
        let _ = Self::connect(url).and_then(|engine| engine.clear());
        // The metadata of a store stays when the store is cleared.
        let _ = client_of(url).args(["del", &format!("{{{}}}:m", name_in(url))]).output();
    }

    fn dump(url: &str) -> Vec<u8> {
        // Every key of the store with its value, of every type.
        const ALL: &str = "local found = {} \
            local readers = {hash = {'hgetall'}, set = {'smembers'}, zset = {'zrange', 0, -1, \
            'withscores'}, string = {'get'}} \
            for _, key in ipairs(redis.call('keys', ARGV[1])) do \
            local reader = readers[redis.call('type', key).ok] \
            found[#found + 1] = key \
            found[#found + 1] = redis.call(reader[1], key, unpack(reader, 2)) end \
            return found";
        let tag = format!("{{{}}}", name_in(url));
        let mut command = client_of(url);
        command.args(["eval", ALL, "1", &format!("{tag}:m")]);
        said(command.arg(format!("{tag}*")))
    }
}

#[cfg(feature = "redis")]
#[derive(Debug)]
pub(crate) struct Cluster;

#[cfg(feature = "redis")]
impl Place for Cluster {
    type Engine = sessile::engine::RedisEngine;
    const VARIABLE: &'static str = "SESSILE_TEST_CLUSTER_URL";

    fn connect(url: &str) -> sessile::Result<Self::Engine> {
        Self::Engine::connect(url)
    }

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>> {
        Self::Engine::connect_existing(url)
    }

    fn clean_up(url: &str) {
        Redis::clean_up(url);
    }

    fn dump(url: &str) -> Vec<u8> {
        Redis::dump(url)
    }
}

#[cfg(feature = "postgres")]
#[derive(Debug)]
pub(crate) struct Postgres;

#[cfg(feature = "postgres")]
impl Place for Postgres {
    type Engine = sessile::engine::PostgresEngine;
    const VARIABLE: &'static str = "SESSILE_TEST_POSTGRES_URL";

    fn connect(url: &str) -> sessile::Result<Self::Engine> {
        Self::Engine::connect(url)
    }

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>> {
        Self::Engine::connect_existing(url)
    }

    fn clean_up(url: &str) {
        let _ = Self::connect(url).and_then(|engine| engine.drop_tables());
    }

    fn dump(url: &str) -> Vec<u8> {
        let mut psql = Command::new(crate::instances::postgres_programs().join("psql"));
        psql.arg(url.split_once('?').unwrap().0);
        for table in TABLES {
            let table = format!("{}_{table}", name_in(url));
            psql.args(["-c", &format!("copy {table} to stdout (format binary)")]);
        }
        said(&mut psql)
    }

    fn names(url: &str) -> Vec<u8> {
        let mut psql = Command::new(crate::instances::postgres_programs().join("psql"));
        let select =
            format!("select relname from pg_class where relname like '{}_%'", name_in(url));
        said(psql.args([url.split_once('?').unwrap().0, "-Atc", &select]))
    }
}

#[cfg(feature = "mongodb")]
#[derive(Debug)]
pub(crate) struct Mongodb;

#[cfg(feature = "mongodb")]
impl Place for Mongodb {
    type Engine = sessile::engine::MongodbEngine;
    const VARIABLE: &'static str = "SESSILE_TEST_MONGODB_URL";
    // The user must be read first: no command takes it from another document.
    const OTHERS: u64 = 2;
    // On the stand-in, the requests of cut connections block the others.
    const CUT_AT_ONCE: usize = 1;
    const MANY_CHANGES: usize = 200;

    fn connect(url: &str) -> sessile::Result<Self::Engine> {
        Self::Engine::connect(url)
    }

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>> {
        Self::Engine::connect_existing(url)
    }

    fn clean_up(url: &str) {
        let _ = Self::connect(url).and_then(|engine| engine.drop_collections());
    }

    fn dump(url: &str) -> Vec<u8> {
        said(crate::instances::mongodb_command().args(["dump", url]))
    }
}

#[cfg(feature = "mysql")]
#[derive(Debug)]
pub(crate) struct Mysql;

#[cfg(feature = "mysql")]
impl Place for Mysql {
    type Engine = sessile::engine::MysqlEngine;
    const VARIABLE: &'static str = "SESSILE_TEST_MYSQL_URL";

    fn connect(url: &str) -> sessile::Result<Self::Engine> {
        Self::Engine::connect(url)
    }

    fn connect_existing(url: &str) -> sessile::Result<Option<Self::Engine>> {
        Self::Engine::connect_existing(url)
    }

    fn clean_up(url: &str) {
        let _ = Self::connect(url).and_then(|engine| engine.drop_tables());
    }

    fn dump(url: &str) -> Vec<u8> {
        let select = |table| format!("select * from {}_{table};", name_in(url));
        said(mariadb(url).args(["-e", &TABLES.map(select).concat()]))
    }

    fn names(url: &str) -> Vec<u8> {
        said(mariadb(url).args(["-e", &format!("show tables like '{}_%'", name_in(url))]))
    }
}

/// MariaDB's own client on a server.
#[cfg(feature = "mysql")]
fn mariadb(url: &str) -> Command {
    let (_, rest) = url.split_once("://").unwrap();
    let (login, _) = rest.rsplit_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let address = address_of(url);
    let (host, port) = address.rsplit_once(':').unwrap();
    let (_, path) = rest.split_once('/').unwrap();
    let mut client = Command::new("mariadb");
    client.args(["--no-defaults", "-N", "-B", "--raw", "-h", host, "-P", port, "-u", user]);
    client.env("MYSQL_PWD", password).arg(path.split_once('?').unwrap().0);
    client
}
