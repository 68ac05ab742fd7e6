"""What both aligned towers and vision-language models see in pictures: features, colours, and how files are opened."""
