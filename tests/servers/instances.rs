//! A test's own servers, to be stopped, killed, made read-only and filled. They end with the test.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// A process that ends with the test, and its folder.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    start: Command,
    process: Option<Child>,
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits up to 20 seconds for a condition.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..400 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not come about");
}

/// Makes calls that have their own time limit. If they run far beyond it, the test fails here
/// instead of waiting with them.
pub(crate) fn ends<T: Send + 'static>(what: &str, calls: impl FnOnce() -> T + Send + 'static) -> T {
    /// Far more than any time limit in these tests.
    const SOON: Duration = Duration::from_secs(30);

    let (ended, has_ended) = channel();
    let thread = thread::spawn(move || drop(ended.send(calls())));
    match has_ended.recv_timeout(SOON) {
        Ok(done) => done,
        Err(RecvTimeoutError::Timeout) => panic!("{what}: it has not ended"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().unwrap_err())
        }
    }
}

/// The output of a command, which must succeed.
pub(crate) fn output(command: &mut Command) -> String {
    let done = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

impl Instance {
    fn new(port: u16, folder: TempDir, start: Command) -> Self {
        let mut instance = Self { port, folder, start, process: None };
        instance.start();
        instance
    }

    /// Starts the process again, with the data in its folder.
    pub(crate) fn start(&mut self) {
        self.start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let port = self.port;
        wait_until("the server", || {
            // A killed server may leave something behind for a moment that prevents the next start.
            let is_running =
                self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None)));
            if !is_running {
                self.process = Some(self.start.spawn().unwrap());
            }
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let children = children_of(&process);
            process.kill().unwrap();
            process.wait().unwrap();
            send("-KILL", &children);
        }
    }

    /// Stops the process and its children, or lets them continue.
    pub(crate) fn signal(&self, signal: &str) {
        let process = self.process.as_ref().unwrap();
        output(Command::new("kill").args([signal, &process.id().to_string()]));
        send(signal, &children_of(process));
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The child processes of PostgreSQL, which serve its connections, for a moment longer than it lives.
fn children_of(process: &Child) -> String {
    let id = process.id().to_string();
    let found = Command::new("pgrep").args(["-P", &id]).output().unwrap().stdout;
    String::from_utf8(found).unwrap()
}

/// Sends a signal to processes, which may have ended by themselves.
fn send(signal: &str, processes: &str) {
    for process in processes.split_whitespace() {
        let _ = Command::new("kill").args([signal, process]).output();
    }
}

/// A Redis server; further options as on its command line.
pub(crate) fn redis(options: &[&str]) -> Instance {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut start = Command::new("redis-server");
    start.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    start.arg("--dir").arg(folder.path()).args(["--repl-diskless-sync-delay", "0"]).args(options);
    let instance = Instance::new(port, folder, start);
    wait_until("Redis", || redis_cli(&instance, &["ping"]).is_ok_and(|said| !said.is_empty()));
    instance
}

pub(crate) fn redis_cli(instance: &Instance, words: &[&str]) -> std::io::Result<String> {
    let done =
        Command::new("redis-cli").args(["-p", &instance.port.to_string()]).args(words).output()?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// The folder of PostgreSQL's programs, of the newest installed version.
pub(crate) fn postgres_programs() -> std::path::PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").unwrap();
    let versions = versions.map(|version| version.unwrap().path().join("bin"));
    versions.filter(|bin| bin.join("postgres").exists()).max().expect("PostgreSQL is installed")
}

/// A command with one of PostgreSQL's programs, which refuse to run as root.
pub(crate) fn postgres_command(program: &str) -> Command {
    let program = postgres_programs().join(program);
    if output(Command::new("id").arg("-u")).trim() != "0" {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

/// A folder that the user of PostgreSQL may write to.
fn postgres_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    if output(Command::new("id").arg("-u")).trim() == "0" {
        output(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    folder
}

/// A PostgreSQL server with an empty database cluster; its superuser is `postgres`.
pub(crate) fn postgres(options: &[&str]) -> Instance {
    let folder = postgres_folder();
    let data = folder.path().join("data");
    let mut initdb = postgres_command("initdb");
    initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "postgres", "--no-sync", "--locale=C"]);
    output(initdb.args(["-E", "UTF8"]));
    started_postgres(folder, &data, options)
}

/// A standby that follows a server from now on.
pub(crate) fn standby_of(primary: &Instance) -> Instance {
    let folder = postgres_folder();
    let data = folder.path().join("data");
    let mut copy = postgres_command("pg_basebackup");
    copy.args(["-h", "127.0.0.1", "-p", &primary.port.to_string(), "-U", "postgres", "-R"]);
    output(copy.args(["-c", "fast", "--no-sync", "-D"]).arg(&data));
    started_postgres(folder, &data, &[])
}

fn started_postgres(folder: TempDir, data: &Path, options: &[&str]) -> Instance {
    let port = free_port();
    let mut start = postgres_command("postgres");
    start.arg("-D").arg(data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"]);
    start.arg(folder.path()).args(["-c", "full_page_writes=off", "-c", "max_connections=50"]);
    for option in options {
        start.args(["-c", option]);
    }
    let instance = Instance::new(port, folder, start);
    wait_until("PostgreSQL", || psql(&instance, "select 1").is_ok());
    instance
}

/// Runs one statement as the superuser.
pub(crate) fn psql(instance: &Instance, statement: &str) -> std::result::Result<String, String> {
    let mut command = Command::new(postgres_programs().join("psql"));
    command.args(["-h", "127.0.0.1", "-p", &instance.port.to_string(), "-U", "postgres", "-At"]);
    let done = command.args(["-c", statement, "postgres"]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// A MariaDB server with a database `shop`; its superuser is `root`.
pub(crate) fn mariadb(options: &[&str]) -> Instance {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let data = format!("--datadir={}", folder.path().join("data").display());
    // A starting server removes temporary files of others from the common folder.
    let temporary = format!("--tmpdir={}", folder.path().display());
    let is_root = output(Command::new("id").arg("-u")).trim() == "0";
    let user = is_root.then_some("--user=root");
    let mut install = Command::new("mariadb-install-db");
    install.arg("--no-defaults").args(user).args([&data, &temporary]).arg("--skip-test-db");
    install.args(["--auth-root-authentication-method=normal", "--skip-name-resolve"]);
    {
        // The installation needs more of the machine than the servers do.
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        output(&mut install);
    }
    let mut start = Command::new("mariadbd");
    start.arg("--no-defaults").args(user).args([&data, &temporary]);
    start.arg(format!("--port={port}"));
    start.args(["--bind-address=127.0.0.1", "--performance-schema=off", "--skip-log-bin"]);
    start.arg(format!("--socket={}", folder.path().join("socket").display()));
    start.arg(format!("--pid-file={}", folder.path().join("pid").display())).args(options);
    let instance = Instance::new(port, folder, start);
    wait_until("MariaDB", || mariadb_said(&instance, "do 0").is_ok());
    mariadb_said(&instance, "create database shop").unwrap();
    instance
}

/// The only node of a Galera cluster. `SESSILE_TEST_GALERA` names the cluster's library; by default
/// it is Debian's.
pub(crate) fn galera() -> Instance {
    let library = std::env::var("SESSILE_TEST_GALERA");
    let library = library.unwrap_or_else(|_| "/usr/lib/galera/libgalera_smm.so".into());
    let address = format!("127.0.0.1:{}", free_port());
    mariadb(&[
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON",
        &format!("--wsrep-provider={library}"),
        "--wsrep-cluster-address=gcomm://",
        &format!("--wsrep-node-address={address}"),
        &format!("--wsrep-provider-options=gmcast.listen_addr=tcp://{address};gcache.size=16M"),
    ])
}

/// The output of statements of the superuser.
pub(crate) fn mariadb_said(instance: &Instance, text: &str) -> std::result::Result<String, String> {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "-h", "127.0.0.1", "-P", &instance.port.to_string()]);
    let done = command.args(["-u", "root", "-N", "-B", "-e", text]).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
}

/// The command of the stand-in for MongoDB, which can also query a server of either kind.
#[cfg(feature = "mongodb")]
pub(crate) fn mongodb_command() -> Command {
    let python = std::env::var("SESSILE_TEST_MONGODB_PYTHON").unwrap_or_else(|_| "python3".into());
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/mongodb.py"));
    command
}

/// A stand-in for a MongoDB replica set of one server; further options as on its command line.
#[cfg(feature = "mongodb")]
pub(crate) fn mongodb(options: &[&str]) -> Instance {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let mut start = mongodb_command();
    start.args(["serve", &port.to_string()]).args(options);
    Instance::new(port, folder, start)
}

/// Runs a command on the database `admin`.
#[cfg(feature = "mongodb")]
pub(crate) fn mongodb_tell(instance: &Instance, command: &str) {
    output(mongodb_command().args(["tell", &instance.port.to_string(), command]));
}
