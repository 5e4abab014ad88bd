mod contender;
mod contenders;
mod session;
#[cfg(test)]
mod model;
fn main(){}
