"""What runs take: work, time, money, memory and disk, before and while they are made."""
