"""The write side of HUD: validated callbacks become job records in DynamoDB."""
