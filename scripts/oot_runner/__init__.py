"""What the actions run on other people's machines: standard library only, Python 3.8 or later, any OS."""
