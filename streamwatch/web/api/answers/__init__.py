"""How answers are made: pages of lists, pictures and files, records as documents, and answers that are given once."""
