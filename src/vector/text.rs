//! Vectors of bytes and of characters as text: writing into them, reading from them.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use super::Vector;

impl Write for Vector<u8> {
    /// Appends the bytes. Never fails.
    ///
    /// ```
    /// use std::io::Write;
    /// let mut log = perennial::Vector::<u8>::new();
    /// write!(log, "{} joined", "Ada")?;
    /// assert_eq!(log, b"Ada joined");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Vector<u8> {
    /// Takes bytes out at the front, as std's `VecDeque<u8>` does: **O(log n)** and what copying them takes. Read from a
    /// clone to keep the vector.
    ///
    /// ```
    /// use std::io::Read;
    /// let text = perennial::Vector::from("Ada joined");
    /// let mut copy = String::new();
    /// text.clone().read_to_string(&mut copy)?;
    /// assert_eq!(copy, "Ada joined");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let chunk = self.fill_buf()?;
        let count = chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&chunk[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Vector<u8> {
    /// The bytes of the first leaf. As std's `VecDeque<u8>`, it never waits and never fails.
    ///
    /// ```
    /// use std::io::BufRead;
    /// let text = perennial::Vector::from("one\ntwo\n");
    /// assert_eq!(text.clone().lines().collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.chunks().next().unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        *self = self.split_off(count.min(self.len()));
    }
}

impl From<&str> for Vector<u8> {
    /// Copies the bytes of the text. **O(n)**.
    fn from(text: &str) -> Self {
        text.bytes().collect()
    }
}

impl From<&str> for Vector<char> {
    /// Copies the characters of the text. **O(n)**.
    fn from(text: &str) -> Self {
        text.chars().collect()
    }
}

impl From<&Vector<char>> for String {
    /// Copies the characters. **O(n)**.
    ///
    /// ```
    /// let mut text = perennial::Vector::<char>::from("größer");
    /// text.insert(0, '>');
    /// assert_eq!(String::from(&text), ">größer");
    /// ```
    fn from(text: &Vector<char>) -> Self {
        text.iter().collect()
    }
}

impl fmt::Write for Vector<char> {
    /// Appends the characters. Never fails.
    ///
    /// ```
    /// use std::fmt::Write;
    /// let mut text = perennial::Vector::<char>::new();
    /// write!(text, "{} joined", "Ada")?;
    /// assert_eq!(text.len(), 10);
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.extend(text.chars());
        Ok(())
    }
}
