//! `?` on the error of another crate.

fn main() -> looplab::Result<()> {
    let port: u16 = "http".parse()?;
    println!("{port}");
    Ok(())
}
