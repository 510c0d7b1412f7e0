//! As much of Python's pickle (protocol 2) as the batches of CIFAR-10 need: containers, numbers, strings and NumPy's byte arrays.
//!
//! A pickle is a program for a stack machine that may call any Python function. This machine calls none: it knows how NumPy's
//! arrays are put together and refuses the rest. What it holds is bounded by a small multiple of the file.

use std::collections::BTreeMap;

/// More values than this are not a batch of 10,000 images with names.
const MAX_VALUES: usize = 1 << 20;

/// Place of a value. Values refer to each other by place, so lists can be filled after they were remembered, and cycles do no harm.
type Id = u32;

/// A dictionary at the root of a pickle.
pub(super) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

enum Value<'a> {
    /// None, a truth value, a data type, or another thing that matters to nobody here.
    Other,
    Integer(i64),
    Text(&'a [u8]),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    /// `module name` of something importable.
    Global(&'a [u8], &'a [u8]),
    DataType(&'a [u8]),
    Array {
        shape: Vec<usize>,
        data: &'a [u8],
    },
}

impl<'a> Pickle<'a> {
    /// Reads a pickle whose root is a dictionary. The error says what is wrong with it.
    pub(super) fn load(bytes: &'a [u8]) -> Result<Self, String> {
        let mut machine =
            Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
        let root = machine.run()?;
        match machine.values[root as usize] {
            Value::Dictionary(_) => Ok(Self { values: machine.values, root }),
            _ => Err("the pickle is not a dictionary".into()),
        }
    }

    /// Shape and bytes of the array under `key`.
    pub(super) fn array(&self, key: &str) -> Option<(&[usize], &'a [u8])> {
        match self.get(key)? {
            Value::Array { shape, data } => Some((shape, data)),
            _ => None,
        }
    }

    /// The list of integers under `key`.
    pub(super) fn integers(&self, key: &str) -> Option<Vec<i64>> {
        let Value::List(items) = self.get(key)? else { return None };
        items
            .iter()
            .map(|&id| match self.values[id as usize] {
                Value::Integer(n) => Some(n),
                _ => None,
            })
            .collect()
    }

    fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Dictionary(items) = &self.values[self.root as usize] else { return None };
        let named = |id: Id| matches!(self.values[id as usize], Value::Text(text) if text == key.as_bytes());
        items.iter().find(|&&(name, _)| named(name)).map(|&(_, value)| &self.values[value as usize])
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Stack heights at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, Id>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id, String> {
        loop {
            let at = self.at;
            let code = self.byte()?;
            match code {
                b'.' => return self.pop(),
                b'\x80' => {
                    self.byte()?;
                }
                b'(' => self.marks.push(self.stack.len()),
                b'q' => self.remember(|machine| machine.byte().map(u32::from))?,
                b'r' => self.remember(Self::long)?,
                b'h' => self.recall(|machine| machine.byte().map(u32::from))?,
                b'j' => self.recall(Self::long)?,
                b'N' | b'\x88' | b'\x89' => self.push(Value::Other)?,
                b'K' => self.integer(|machine| machine.byte().map(i64::from))?,
                b'M' => self.integer(|machine| machine.array().map(|b| i64::from(u16::from_le_bytes(b))))?,
                b'J' => self.integer(|machine| machine.array().map(|b| i64::from(i32::from_le_bytes(b))))?,
                b'U' | b'C' => self.text(|machine| machine.byte().map(u32::from))?,
                b'T' | b'X' | b'B' => self.text(Self::long)?,
                b'c' => self.global()?,
                b']' => self.push(Value::List(Vec::new()))?,
                b'}' => self.push(Value::Dictionary(Vec::new()))?,
                b')' => self.push(Value::Tuple(Vec::new()))?,
                b't' => self.tuple(None)?,
                b'\x85'..=b'\x87' => self.tuple(Some(usize::from(code - b'\x84')))?,
                b'a' => self.append(Some(1))?,
                b'e' => self.append(None)?,
                b's' => self.insert(Some(2))?,
                b'u' => self.insert(None)?,
                b'R' => self.call()?,
                b'b' => self.build()?,
                _ => return Err(format!("not a pickle of the official Python version (byte {code:#04x} at {at})")),
            }
            if self.values.len().max(self.stack.len()).max(self.marks.len()) > MAX_VALUES {
                return Err("the pickle holds far more values than a batch of images".into());
            }
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let taken = self.bytes[self.at..].get(..count).ok_or("the pickle is cut off; get the file again")?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn long(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    fn line(&mut self) -> Result<&'a [u8], String> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or("the pickle is cut off")?;
        let line = self.take(length)?;
        self.take(1)?;
        Ok(line)
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        let id = Id::try_from(self.values.len()).map_err(|_| "too many values")?;
        self.values.push(value);
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        self.stack.pop().ok_or_else(|| "the pickle takes from an empty stack".into())
    }

    /// The last `count` values of the stack, or those since the last mark.
    fn pop_many(&mut self, count: Option<usize>) -> Result<Vec<Id>, String> {
        let from = match count {
            Some(count) => self.stack.len().checked_sub(count),
            None => self.marks.pop().filter(|&height| height <= self.stack.len()),
        };
        Ok(self.stack.split_off(from.ok_or("the pickle takes from an empty stack")?))
    }

    fn top(&mut self) -> Result<&mut Value<'a>, String> {
        let id = *self.stack.last().ok_or("the pickle fills nothing")?;
        Ok(&mut self.values[id as usize])
    }

    fn integer(&mut self, read: impl FnOnce(&mut Self) -> Result<i64, String>) -> Result<(), String> {
        let value = read(self)?;
        self.push(Value::Integer(value))
    }

    fn text(&mut self, length: impl FnOnce(&mut Self) -> Result<u32, String>) -> Result<(), String> {
        let length = length(self)?;
        let text = self.take(length as usize)?;
        self.push(Value::Text(text))
    }

    fn remember(&mut self, key: impl FnOnce(&mut Self) -> Result<u32, String>) -> Result<(), String> {
        let key = key(self)?;
        let id = *self.stack.last().ok_or("the pickle remembers nothing")?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn recall(&mut self, key: impl FnOnce(&mut Self) -> Result<u32, String>) -> Result<(), String> {
        let key = key(self)?;
        let id = *self.memo.get(&key).ok_or("the pickle recalls what it never had")?;
        self.stack.push(id);
        Ok(())
    }

    fn global(&mut self) -> Result<(), String> {
        let (module, name) = (self.line()?, self.line()?);
        self.push(Value::Global(module, name))
    }

    fn tuple(&mut self, count: Option<usize>) -> Result<(), String> {
        let items = self.pop_many(count)?;
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, count: Option<usize>) -> Result<(), String> {
        let new = self.pop_many(count)?;
        match self.top()? {
            Value::List(items) => items.extend(new),
            _ => return Err("the pickle appends to what is no list".into()),
        }
        Ok(())
    }

    fn insert(&mut self, count: Option<usize>) -> Result<(), String> {
        let new = self.pop_many(count)?;
        match self.top()? {
            Value::Dictionary(items) if new.len().is_multiple_of(2) => items.extend(new.chunks_exact(2).map(|p| (p[0], p[1]))),
            _ => return Err("the pickle inserts into what is no dictionary".into()),
        }
        Ok(())
    }

    /// A call in Python; here the two that make an array and its data type, and no other.
    fn call(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let result = match (&self.values[function as usize], &self.values[arguments as usize]) {
            (Value::Global(b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct"), Value::Tuple(_)) => {
                Value::Array { shape: Vec::new(), data: &[] }
            }
            (Value::Global(b"numpy", b"dtype"), Value::Tuple(items)) => {
                match items.first().map(|&id| &self.values[id as usize]) {
                    Some(&Value::Text(name)) => Value::DataType(name),
                    _ => return Err("the pickle's data type has no name".into()),
                }
            }
            (Value::Global(module, name), _) => {
                let name = [module, &b"."[..], name].concat();
                return Err(format!(
                    "the pickle wants to call {:?}, which no batch of images needs",
                    String::from_utf8_lossy(&name)
                ));
            }
            _ => return Err("the pickle calls what is no function".into()),
        };
        self.push(result)
    }

    /// Sets the state of an object; here of an array: version, shape, data type, column order, bytes.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let value = |id: Id| &self.values[id as usize];
        let built = match self.stack.last().map(|&id| value(id)) {
            Some(Value::DataType(_)) => return Ok(()),
            Some(Value::Array { .. }) => match value(state) {
                Value::Tuple(parts) if parts.len() == 5 => {
                    let Value::Tuple(shape) = value(parts[1]) else { return Err("the array has no shape".into()) };
                    let edge = |&id: &Id| match value(id) {
                        Value::Integer(n) => usize::try_from(*n).ok(),
                        _ => None,
                    };
                    let shape: Option<Vec<usize>> = shape.iter().map(edge).collect();
                    match (shape, value(parts[2]), value(parts[4])) {
                        (Some(shape), Value::DataType(b"u1" | b"|u1"), Value::Text(data)) if holds(&shape, data) => {
                            Value::Array { shape, data }
                        }
                        _ => return Err("the array is not one of bytes with as many bytes as its shape says".into()),
                    }
                }
                _ => return Err("the array has another state than NumPy writes".into()),
            },
            _ => return Err("the pickle builds an object that no batch of images has".into()),
        };
        *self.top()? = built;
        Ok(())
    }
}

fn holds(shape: &[usize], data: &[u8]) -> bool {
    shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n)) == Some(data.len())
}
